package monitoring_test

import (
	"slices"
	"strings"
	"testing"
)

func TestDashboardIsWellFormed(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.SchemaVersion < 39 || d.UID == "" || d.Title == "" {
		t.Errorf("schema version %d, uid %q, title %q", d.SchemaVersion, d.UID, d.Title)
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"datasource", "fleet", "node"}) {
		t.Errorf("the variables are %q", names)
	}
	ids := map[int]string{}
	for _, p := range d.Panels {
		if other, taken := ids[p.ID]; taken || p.ID == 0 {
			t.Errorf("panels %q and %q share id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
	}
}

func TestPanelsSayWhatTheyShow(t *testing.T) {
	t.Parallel()
	kinds := []string{"stat", "table", "timeseries", "state-timeline", "bargauge", "barchart"}
	for _, p := range readDashboard(t).Panels {
		switch {
		case p.Type == "row":
			continue
		case !slices.Contains(kinds, p.Type):
			t.Errorf("%s: no panel type %q", p.Title, p.Type)
		case p.Title == "" || !strings.HasSuffix(p.Description, "."):
			t.Errorf("panel %d: title %q, description %q", p.ID, p.Title, p.Description)
		case len(p.Targets) == 0:
			t.Errorf("%s asks nothing", p.Title)
		case p.FieldConfig.Defaults.Unit == "" && p.Type != "table" && p.Type != "state-timeline":
			t.Errorf("%s has no unit", p.Title)
		}
	}
}

func TestPanelsFillTheGridWithoutOverlap(t *testing.T) {
	t.Parallel()
	const width = 24
	owner := map[[2]int]string{}
	bottom := 0
	for _, p := range readDashboard(t).Panels {
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.X+g.W > width || g.H < 1 {
			t.Errorf("%s lies outside the grid: %+v", p.Title, g)
		}
		for y := g.Y; y < g.Y+g.H; y++ {
			for x := g.X; x < g.X+g.W; x++ {
				if other, taken := owner[[2]int{x, y}]; taken {
					t.Fatalf("%s and %s overlap at %d,%d", p.Title, other, x, y)
				}
				owner[[2]int{x, y}] = p.Title
			}
		}
		bottom = max(bottom, g.Y+g.H)
	}
	if len(owner) != width*bottom {
		t.Errorf("the panels leave %d of %d cells empty", width*bottom-len(owner), width*bottom)
	}
}

// A dashboard that names one installation's data source is of no use in another.
func TestEverythingAsksTheChosenDataSource(t *testing.T) {
	t.Parallel()
	chosen := datasource{"prometheus", "${datasource}"}
	d := readDashboard(t)
	for _, p := range d.Panels {
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.Datasource != chosen || p.Datasource != chosen {
				t.Errorf("%s asks %v and %v", p.Title, p.Datasource, target.Datasource)
			}
			if refs[target.RefID] || target.Instant == target.Range {
				t.Errorf("%s: query %s is there twice, or neither or both of instant and range", p.Title, target.RefID)
			}
			refs[target.RefID] = true
		}
	}
	for _, a := range d.Annotations.List {
		if a.BuiltIn == 0 && a.Datasource != chosen {
			t.Errorf("annotation %s asks %v", a.Name, a.Datasource)
		}
	}
}

// What a table renames or colours is there: a value of one of its queries, or a label that one of them keeps.
func TestTablesNameColumnsThatExist(t *testing.T) {
	t.Parallel()
	for _, p := range readDashboard(t).Panels {
		columns := map[string]bool{"Value": true}
		for _, target := range p.Targets {
			columns["Value #"+target.RefID] = true
		}
		for _, transformation := range p.Transformations {
			o := transformation.Options
			shown := map[string]bool{}
			for column := range o.IndexByName {
				label := !strings.HasPrefix(column, "Value")
				if !columns[column] && !(label && slices.ContainsFunc(p.Targets, func(t target) bool { return keeps(t.Expr, column) })) {
					t.Errorf("%s places column %q, which no query has", p.Title, column)
				}
				shown[column] = true
			}
			for column, name := range o.RenameByName {
				shown[name] = shown[name] || columns[column] || shown[column]
			}
			for _, override := range p.FieldConfig.Overrides {
				if transformation.ID == "organize" && !shown[override.Matcher.Options] {
					t.Errorf("%s sets up column %q, which it does not show", p.Title, override.Matcher.Options)
				}
			}
		}
	}
}

// keeps reports whether a query's answer has the label: it is grouped by it, joined in, or the target's own.
func keeps(expr, label string) bool {
	for _, words := range []string{"by (", "group_left ("} {
		for _, part := range strings.Split(expr, words)[1:] {
			list, _, _ := strings.Cut(part, ")")
			if slices.Contains(strings.Split(list, ", "), label) {
				return true
			}
		}
	}
	return label == "instance"
}

func TestOnlyExportedSeriesAreMentioned(t *testing.T) {
	t.Parallel()
	all := readDashboard(t).queries()
	for _, r := range readRules(t) {
		all = append(all, query{"alert " + r.Alert, r.Expr})
	}
	used := map[string]bool{}
	for _, q := range all {
		names := mentioned(q.expr)
		for _, name := range names {
			used[name] = true
			if !slices.Contains(exported, name) {
				t.Errorf("%s asks for %s, which nothing exports", q.where, name)
			}
		}
		if len(names) == 0 || strings.Contains(q.expr, "$") {
			t.Errorf("%s asks %s", q.where, q.expr)
		}
	}
	for _, name := range exported {
		if !used[name] {
			t.Errorf("nobody looks at %s", name)
		}
	}
}

package desired

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Conflicts finds the fleets that share a node or a load balancer's group, as far as their files show it, and says of each
// with which others (law 3). Those that come after each other in a circle are among them. Load refuses them itself; who keeps versions of several commits in force asks again.
func Conflicts(fleets map[string]*Fleet) map[string]Errors {
	found := map[string]Errors{}
	for _, c := range conflicts(fleets) {
		found[c.fleet] = append(found[c.fleet], c.error(Position{File: fleets[c.fleet].Path}, fleets))
	}
	return found
}

func (l *loader) refuseConflicts() {
	valid, by := map[string]*Fleet{}, map[string]*candidate{}
	for _, c := range l.candidates {
		if len(c.errors) == 0 {
			valid[c.name], by[c.name] = c.fleet, c
		}
	}
	for _, c := range conflicts(valid) {
		mine := by[c.fleet]
		mine.clashes = true
		mine.errors = append(mine.errors, c.error(mine.document.get(c.path...).at, valid))
	}
}

// A conflict is something of fleet that other has too, or, without an other, a circle of fleets that come after each other.
type conflict struct {
	fleet, other string
	path         []any // to it in fleet's file
	what         string
}

func (c conflict) error(at Position, fleets map[string]*Fleet) Error {
	if c.other == "" {
		return c.circle(at)
	}
	return errorAt(at, "%s: %s also belongs to fleet %s (%s); two fleets must not share it, and both are refused",
		keyPath(c.path...), c.what, c.other, fleets[c.other].Path)
}

// A claim is something of a fleet that no other may have.
type claim struct {
	fleet string
	path  []any
	what  string
}

// conflicts are in a fixed order. Each claim names one other fleet, the first that has it too.
func conflicts(fleets map[string]*Fleet) []conflict {
	nodes, groups := map[string][]claim{}, map[string][]claim{}
	for _, name := range sortedKeys(fleets) {
		for i, node := range fleets[name].Nodes.Static {
			claimNode(nodes, node.Address, claim{name, []any{"nodes", "static", i, "address"}, "address " + node.Address})
			if node.Target != "" && node.Target != node.Address {
				claimNode(nodes, node.Target, claim{name, []any{"nodes", "static", i, "target"}, "target " + node.Target})
			}
		}
		for i, lb := range fleets[name].LoadBalancers {
			groups[groupName(lb)] = append(groups[groupName(lb)], claim{name, []any{"loadBalancers", i}, lb.String()})
		}
	}
	var found []conflict
	for _, address := range sortedKeys(nodes) {
		found = append(found, clashes(nodes[address], func(a, b claim) bool { return true })...)
	}
	for _, group := range sortedKeys(groups) {
		found = append(found, clashes(groups[group], func(a, b claim) bool {
			return sameMembers(fleets[a.fleet].LoadBalancers[a.path[1].(int)], fleets[b.fleet].LoadBalancers[b.path[1].(int)])
		})...)
	}
	found = append(found, clashes(selections(fleets), func(a, b claim) bool {
		return sameInstances(fleets[a.fleet].Nodes.EC2.Tags, fleets[b.fleet].Nodes.EC2.Tags)
	})...)
	return append(found, circles(fleets)...)
}

// claimNode files c under id, an address or a target's id, however it is spelled.
func claimNode(nodes map[string][]claim, id string, c claim) {
	nodes[canonical(id)] = append(nodes[canonical(id)], c)
}

// canonical is the one spelling of an address or a target's id.
func canonical(id string) string {
	if address, err := netip.ParseAddr(id); err == nil {
		return address.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(id), ".")
}

func selections(fleets map[string]*Fleet) []claim {
	var claims []claim
	for _, name := range sortedKeys(fleets) {
		if ec2 := fleets[name].Nodes.EC2; ec2 != nil {
			claims = append(claims, claim{name, []any{"nodes", "ec2", "tags"}, "each instance with tags " + tagWords(ec2.Tags)})
		}
	}
	return claims
}

func clashes(claims []claim, same func(a, b claim) bool) []conflict {
	var found []conflict
	for _, a := range claims {
		i := slices.IndexFunc(claims, func(b claim) bool { return a.fleet != b.fleet && same(a, b) })
		if i >= 0 {
			found = append(found, conflict{a.fleet, claims[i].fleet, a.path, a.what})
		}
	}
	return found
}

// groupName is the same for a target group's name and its ARN.
func groupName(lb LoadBalancer) string {
	if lb.Classic != "" {
		return "classic/" + lb.Classic
	}
	return "group/" + lb.GroupName()
}

// sameMembers reports whether a and b are, or may be, the same members of the same group: a port that is left out may be any.
func sameMembers(a, b LoadBalancer) bool {
	return sameGroup(a, b) && (a.Port == b.Port || a.Port == 0 || b.Port == 0)
}

// sameGroup reports whether a and b are, or may be, the same group: two ARNs are compared whole.
func sameGroup(a, b LoadBalancer) bool {
	bothARN := strings.HasPrefix(a.TargetGroup, "arn:") && strings.HasPrefix(b.TargetGroup, "arn:")
	return groupName(a) == groupName(b) && (!bothARN || a.TargetGroup == b.TargetGroup)
}

// sameInstances reports whether every instance of one selector is one of the other's: its tags are among the other's.
func sameInstances(a, b map[string]string) bool { return among(a, b) || among(b, a) }

func among(a, b map[string]string) bool {
	for key, want := range a {
		if have, ok := b[key]; !ok || have != want {
			return false
		}
	}
	return true
}

func tagWords(tags map[string]string) string {
	words := make([]string, 0, len(tags))
	for _, key := range sortedKeys(tags) {
		words = append(words, fmt.Sprintf("%s=%s", shorten(key), shorten(tags[key])))
	}
	return strings.Join(words, ", ")
}

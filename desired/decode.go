package desired

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// How long balancers take to spread a deregistration, where the file does not say: an ALB was seen to send requests for more than 5 s and
// not after 25 s, for an NLB AWS advises to wait 120 s.
// https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/1064
// https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-target-group-attributes.html
const (
	defaultSettle        = 20 * time.Second
	defaultNetworkSettle = 120 * time.Second
)

// decode makes the fleet of a valid document: the keys of the file are the fields of Fleet.
func decode(path string, document *value) (*Fleet, error) {
	filled := filledIn(theSchema().tree, document.plain()).(map[string]any)
	text, err := json.Marshal(filled)
	if err != nil {
		return nil, fmt.Errorf("cannot encode fleet %s: %w", path, err)
	}
	fleet := &Fleet{Path: path}
	if err := json.Unmarshal(text, fleet); err != nil {
		return nil, fmt.Errorf("cannot decode fleet %s: %w", path, err)
	}
	if drain := filled["rollout"].(map[string]any)["drain"].(map[string]any); drain["settle"] == nil {
		fleet.Rollout.Drain.Settle, fleet.Rollout.Drain.NetworkSettle = defaultSettle, defaultNetworkSettle
	} else {
		fleet.Rollout.Drain.NetworkSettle = fleet.Rollout.Drain.Settle
	}
	fleet.Configure.Vars = filled["configure"].(map[string]any)["vars"].(map[string]any) // JSON would turn whole numbers into floats
	for i := range fleet.Nodes.Static {
		if node := &fleet.Nodes.Static[i]; node.Target == "" {
			node.Target = node.Address
		}
	}
	return fleet, nil
}

// filledIn is plain, which is valid, with the schema's defaults for the keys that are left out and durations parsed.
func filledIn(schema map[string]any, plain any) any {
	switch plain := plain.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		if others, ok := schema["additionalProperties"].(map[string]any); ok {
			for key, v := range plain {
				if _, named := properties[key]; !named {
					plain[key] = filledIn(others, v)
				}
			}
		}
		for key, part := range properties {
			part := part.(map[string]any)
			v, given := plain[key]
			if !given {
				v, given = part["default"]
			}
			if given {
				plain[key] = filledIn(part, copied(v))
			}
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i := range plain {
			plain[i] = filledIn(items, plain[i])
		}
	case string:
		if format, _ := schema["format"].(string); strings.HasSuffix(format, "go-duration") {
			d, _ := time.ParseDuration(plain)
			return d
		}
	}
	return plain
}

// copied keeps a default, which is always flat, from being filled in place.
func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return maps.Clone(v)
	case []any:
		return slices.Clone(v)
	}
	return v
}

// UnmarshalJSON reads an amount as it is written in the fleet file.
func (a *Amount) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &a.Count); err == nil {
		return nil
	}
	var percent string
	if err := json.Unmarshal(text, &percent); err != nil {
		return fmt.Errorf("cannot read amount %s: %w", text, err)
	}
	if _, err := fmt.Sscanf(percent, "%d%%", &a.Percent); err != nil {
		return fmt.Errorf("cannot read amount %s: %w", text, err)
	}
	return nil
}

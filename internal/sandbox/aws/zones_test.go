package aws

import (
	"net/http"
	"testing"
)

// One target is in zone a, and three are in b, of which one is unhealthy. Each zone that is in DNS gets the same share.
func TestZones(t *testing.T) {
	const off = -1
	zonal := func(inDNS, failsOpen Minimum) TargetGroup {
		return TargetGroup{CrossZone: "false", InDNS: inDNS, FailsOpen: failsOpen}
	}
	for _, c := range []struct {
		name      string
		g         TargetGroup
		b         LoadBalancer
		unhealthy int     // how many in b
		served    []int64 // of 12 requests, by a and the three in b
	}{
		{"application", TargetGroup{}, LoadBalancer{}, 1, []int64{4, 4, 4, 0}},
		{"application without cross-zone balancing", TargetGroup{CrossZone: "false"}, LoadBalancer{}, 1, []int64{6, 3, 3, 0}},
		{"network", TargetGroup{Protocol: "TCP"}, LoadBalancer{Type: Network}, 1, []int64{6, 3, 3, 0}},
		{"network with cross-zone balancing", TargetGroup{Protocol: "TCP"}, LoadBalancer{Type: Network, CrossZone: true}, 1, []int64{4, 4, 4, 0}},
		{"network, the group decides", TargetGroup{Protocol: "TCP", CrossZone: "true"}, LoadBalancer{Type: Network}, 1, []int64{4, 4, 4, 0}},
		{"a leaves DNS", zonal(Minimum{Count: 2}, Minimum{}), LoadBalancer{}, 1, []int64{0, 6, 6, 0}},
		{"b leaves DNS by its share", zonal(Minimum{Percent: 67}, Minimum{}), LoadBalancer{}, 1, []int64{12, 0, 0, 0}},
		{"b stays by its share", zonal(Minimum{Percent: 66}, Minimum{}), LoadBalancer{}, 1, []int64{6, 3, 3, 0}},
		{"none has enough for DNS", zonal(Minimum{Count: 9}, Minimum{}), LoadBalancer{}, 1, []int64{6, 3, 3, 0}},
		{"b fails open", zonal(Minimum{}, Minimum{Count: 1, Percent: 67}), LoadBalancer{}, 1, []int64{6, 2, 2, 2}},
		{"together they are enough", TargetGroup{InDNS: Minimum{Count: 3}, FailsOpen: Minimum{Count: 3}}, LoadBalancer{}, 1, []int64{4, 4, 4, 0}},
		{"together they fail open", TargetGroup{FailsOpen: Minimum{Count: 4}}, LoadBalancer{}, 1, []int64{3, 3, 3, 3}},
		{"b has nobody healthy", zonal(Minimum{}, Minimum{}), LoadBalancer{}, 3, []int64{12, 0, 0, 0}},
		{"b has nobody healthy, and stays", zonal(Minimum{Count: off}, Minimum{}), LoadBalancer{}, 3, []int64{6, 2, 2, 2}},
		{"b has nobody healthy, stays, and does not fail open", zonal(Minimum{Count: off}, Minimum{Count: off}), LoadBalancer{}, 3, []int64{6, 0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.g.Name = "web"
			_, url := w.balanced(c.g, c.b)
			var nodes []*node
			for _, zone := range []string{"a", "b", "b", "b"} {
				n := newNode(t)
				if len(nodes) >= 4-c.unhealthy {
					n.status.Store(http.StatusTeapot)
				}
				check(t, w.Register("web", Target{ID: n.target.ID, Port: n.target.Port, Zone: zone}))
				nodes = append(nodes, n)
			}
			for i, n := range nodes {
				w.awaitState("web", n.target, map[bool]string{true: Unhealthy, false: Healthy}[i >= 4-c.unhealthy])
			}
			w.requests(12, url)
			var served []int64
			for _, n := range nodes {
				served = append(served, n.served.Load())
			}
			equal(t, "served", served, c.served)
		})
	}
}

func TestZonesOfAClassicBalancer(t *testing.T) {
	for crossZone, want := range map[bool][]uint64{false: {6, 3, 3}, true: {4, 4, 4}} {
		t.Run(line(crossZone), func(t *testing.T) {
			w, n, url := classicWorld(t, Classic{CrossZone: crossZone})
			check(t, w.RemoveInstance("i-00000001"))
			targets := []Target{{ID: "i-0000000a", Port: n.target.Port}, {ID: "i-0000000b", Port: n.target.Port}, {ID: "i-0000000c", Port: n.target.Port}}
			for i, target := range targets {
				check(t, w.AddInstance(Instance{ID: target.ID, PrivateAddress: n.target.ID, Zone: []string{"a", "b", "b"}[i]}))
				check(t, w.join(target.ID))
				w.awaitState("web", target, Healthy)
			}
			w.requests(12, url)
			var sent []uint64
			for _, target := range targets {
				sent = append(sent, must(w.Traffic("web"))(t).Targets[target])
			}
			equal(t, "sent", sent, want)
		})
	}
}

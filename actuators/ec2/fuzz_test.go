package ec2_test

import (
	"net/http"
	"slices"
	"testing"

	"windlass/actuators"
)

// FuzzInstances holds an answer of any bytes to law 1: it is an error with nobody in it or it is read whole, and when it is
// cut it is an error or says the same.
func FuzzInstances(f *testing.F) {
	answer := instances(good + `<item><instanceId>i-0000000b</instanceId><instanceState><code>80</code><name>stopped</name></instanceState>
<placement><availabilityZone>a</availabilityZone></placement><tagSet><item><key>app</key><value>web</value></item></tagSet></item>`)
	for cut := 0; cut <= len(answer); cut += 20 {
		f.Add([]byte(answer), uint16(cut))
	}
	f.Add([]byte("<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"), uint16(40))
	f.Add([]byte("<html/>"), uint16(3))
	read := func(t *testing.T, body []byte) (actuators.Inventory, error) {
		pages := 0
		inventory, err := answering(func(w http.ResponseWriter, _ *http.Request) {
			if pages++; pages > 3 {
				w.WriteHeader(http.StatusTeapot)
			}
			_, _ = w.Write(body)
		}).Nodes(t.Context(), tagged("app", "web"))
		if err != nil && len(inventory.Nodes)+len(inventory.Problems) > 0 {
			t.Fatalf("somebody beside an error: %+v, %v", inventory, err)
		}
		return inventory, err
	}
	f.Fuzz(func(t *testing.T, body []byte, cut uint16) {
		whole, err := read(t, body)
		if err != nil {
			return
		}
		for _, node := range whole.Nodes {
			if node.Name == "" || node.ID == "" || node.Address == "" {
				t.Errorf("a node without name, id or address: %+v", node)
			}
		}
		part, err := read(t, body[:min(int(cut), len(body))])
		if err == nil && (!slices.Equal(part.Nodes, whole.Nodes) || !slices.Equal(part.Problems, whole.Problems)) {
			t.Errorf("cut after %d bytes of %d it reads %+v, not %+v", cut, len(body), part, whole)
		}
	})
}

package probe

import (
	"net/http"
	"testing"
)

// A check asks the node itself. Seen on the client alone: to loopback nothing is ever asked through the environment's proxy.
func TestNoProxyIsAsked(t *testing.T) {
	if client(nil).Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy may stand between")
	}
}

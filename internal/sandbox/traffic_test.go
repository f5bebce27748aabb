package sandbox

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// Every way to fail is counted, and nothing is tried again.
func TestTrafficCountsWhatFails(t *testing.T) {
	t.Parallel()
	var served, failed atomic.Int64
	enough := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := served.Add(1)
		if n == 40 {
			close(enough)
		}
		switch n % 5 {
		case 0:
			failed.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			failed.Add(1)
			panic(http.ErrAbortHandler)
		case 2:
			failed.Add(1)
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case 3:
			fmt.Fprintln(w, "v1 on web-1")
		case 4:
			fmt.Fprintln(w, "v2 on web-2")
		}
	}))
	defer server.Close()
	traffic := StartTraffic(server.URL, 200)
	<-enough
	traffic.Stop()
	count := traffic.Reset()
	if int64(count.Requests) != served.Load() || int64(count.Failed) != failed.Load() {
		t.Errorf("counted %+v, served %d, failed %d", count, served.Load(), failed.Load())
	}
	if ok := count.Releases["v1"] + count.Releases["v2"]; ok != count.Requests-count.Failed || count.Releases["v1"] == 0 || count.Releases["v2"] == 0 {
		t.Errorf("releases %v of %d good answers", count.Releases, count.Requests-count.Failed)
	}
	if len(count.Failures) != keptFailures {
		t.Errorf("%d failures are told in words: %v", len(count.Failures), count.Failures)
	}
	if again := traffic.Count(); again.Requests != 0 {
		t.Errorf("after the reset it counts %+v", again)
	}
}

func TestTrafficToNobodyFails(t *testing.T) {
	t.Parallel()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	dropped := make(chan struct{}, 1000)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
			dropped <- struct{}{}
		}
	}()
	traffic := StartTraffic("http://"+listener.Addr().String(), 100)
	for range 10 {
		<-dropped
	}
	traffic.Stop()
	listener.Close()
	if count := traffic.Count(); count.Requests < 10 || count.Failed != count.Requests {
		t.Errorf("counted %+v", count)
	}
}

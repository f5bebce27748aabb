package sandbox

import (
	"fmt"
	"maps"
	"regexp"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// A Traffic is constant traffic: requests at a fixed rate, whatever becomes of them, each over a connection of its own, so
// that no retry hides a request that was dropped. An answer other than 2xx, or none, is a failure.
type Traffic struct {
	attacker *vegeta.Attacker
	ended    chan struct{}

	mu    sync.Mutex
	count Count
}

// A Count is what became of requests.
type Count struct {
	Requests int
	Failed   int
	Releases map[string]int // requests by the release that answered
	Failures []string       // the first few, in words
}

const (
	answerTime   = 10 * time.Second // for a request; later is a failure
	keptFailures = 5
)

// releaseServed finds the release in the page of the web service.
var releaseServed = regexp.MustCompile(`^(\S+) on \S+`)

// StartTraffic sends so many GET requests a second to a URL until Stop.
func StartTraffic(url string, perSecond int) *Traffic {
	t := &Traffic{
		attacker: vegeta.NewAttacker(
			vegeta.KeepAlive(false), vegeta.HTTP2(false), vegeta.Timeout(answerTime), vegeta.Redirects(vegeta.NoFollow),
			vegeta.MaxBody(256), vegeta.Workers(4), vegeta.MaxWorkers(uint64(perSecond)*10),
		),
		ended: make(chan struct{}),
	}
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url})
	results := t.attacker.Attack(target, vegeta.Rate{Freq: perSecond, Per: time.Second}, 0, "")
	go func() {
		defer close(t.ended)
		for result := range results {
			t.add(result)
		}
	}()
	return t
}

func (t *Traffic) add(result *vegeta.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.count
	c.Requests++
	if result.Error == "" && result.Code/100 == 2 {
		if served := releaseServed.FindSubmatch(result.Body); served != nil {
			c.releases()[string(served[1])]++
		}
		return
	}
	c.Failed++
	if len(c.Failures) < keptFailures {
		c.Failures = append(c.Failures, fmt.Sprintf("%s: %d %s", result.Timestamp.Format("15:04:05.000"), result.Code, result.Error))
	}
}

// releases makes room for what is counted.
func (c *Count) releases() map[string]int {
	if c.Releases == nil {
		c.Releases = map[string]int{}
	}
	return c.Releases
}

// Count returns what was counted since it was last reset.
func (t *Traffic) Count() Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := t.count
	count.Releases = maps.Clone(count.Releases)
	return count
}

// Reset returns what was counted and counts from zero. A request belongs to where it was answered.
func (t *Traffic) Reset() Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := t.count
	t.count = Count{}
	return count
}

// Stop sends no more, and returns when every answer was counted.
func (t *Traffic) Stop() {
	t.attacker.Stop()
	<-t.ended
}

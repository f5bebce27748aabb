package access_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"windlass/internal/web/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hashed is the least costly hash of a password.
func hashed(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// users is a file with users whose passwords are their names, written backwards.
func users(t *testing.T, names ...string) string {
	t.Helper()
	text := "basic_auth_users:\n"
	for _, name := range names {
		text += fmt.Sprintf("  %s: %s\n", name, hashed(t, backwards(name)))
	}
	return text
}

func backwards(s string) string {
	var b strings.Builder
	for i := len(s) - 1; i >= 0; i-- {
		b.WriteByte(s[i])
	}
	return b.String()
}

// A door is a gate in front of what tells who came in.
type door struct {
	*access.Gate
	file string
	log  *lines
	http.Handler
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// count is how many lines say something.
func (l *lines) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// open opens a gate on loopback with a file of that text, and watches the file until the test ends.
func open(t *testing.T, text string) *door {
	t.Helper()
	file := filepath.Join(t.TempDir(), "web.yaml")
	write(t, file, text)
	return openFile(t, file)
}

func openFile(t *testing.T, file string) *door {
	t.Helper()
	d := &door{file: file, log: new(lines)}
	gate, err := access.Open(access.Options{File: d.file, Log: slog.New(slog.NewTextHandler(d.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	d.Gate = gate
	d.Handler = gate.Check(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			<-r.Context().Done()
			return
		}
		fmt.Fprintf(w, "%+v", access.Who(r.Context()))
	}))
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() { defer close(watched); gate.Watch(ctx) }()
	t.Cleanup(func() { cancel(); <-watched })
	return d
}

func (d *door) write(t *testing.T, text string) {
	t.Helper()
	write(t, d.file, text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// settle lets the gate look at the file as often as it takes.
func settle() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

func request(path, user, password, from string) *http.Request {
	r := httptest.NewRequest("GET", path, nil)
	r.RemoteAddr = from
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	return r
}

func (d *door) knock(user, password, from string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, request("/", user, password, from))
	return w
}

const here, elsewhere = "10.0.0.1:5000", "10.0.0.2:5000"

func TestWhoComesIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, users(t, "carol", "dave")+"readers: [dave]\n")
		cases := []struct {
			user, password string
			status         int
			says           string
		}{
			{"carol", "carol", 401, "wrong user or password\n"},
			{"carol", "", 401, "wrong user or password\n"},
			{"nobody", "ydobon", 401, "wrong user or password\n"},
			{"carol", "evad", 401, "wrong user or password\n"},
			{"", "", 401, "say who you are: give user and password\n"},
		}
		for _, c := range cases {
			w := d.knock(c.user, c.password, here)
			if w.Code != c.status || w.Body.String() != c.says || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("%s %q: %d %q %v", c.user, c.password, w.Code, w.Body, w.Header())
			}
		}
		for user, want := range map[string]access.User{"carol": {Name: "carol", MayChange: true}, "dave": {Name: "dave"}} {
			for _, time := range []string{"first", "second"} {
				if w := d.knock(user, backwards(user), here); w.Code != 200 || w.Body.String() != fmt.Sprintf("%+v", want) {
					t.Errorf("%s, %s time: %d %q, want %+v", user, time, w.Code, w.Body, want)
				}
			}
		}
	})
}

func TestNobodyIsNobody(t *testing.T) {
	t.Parallel()
	if got := access.Who(t.Context()); got != (access.User{}) || got.MayChange {
		t.Errorf("without a gate it is %+v", got)
	}
}

func TestFailedTriesAreCountedPerAddress(t *testing.T) {
	cases := []struct {
		name              string
		flood, same, not  string // addresses: of the flood, one that counts as the same, one that does not
		guesser, password string
	}{
		{"a known user", here, "10.0.0.1:6000", elsewhere, "carol", "wrong"},
		{"an unknown user", here, "10.0.0.1:6000", elsewhere, "nobody", "wrong"},
		{"IPv6", "[2001:db8::1]:5000", "[2001:db8::ffff]:5000", "[2001:db8:0:1::1]:5000", "carol", "wrong"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5000", here, elsewhere, "carol", "wrong"},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			d := open(t, users(t, "carol"))
			for range 50 {
				d.knock("carol", backwards("carol"), c.flood) // good ones do not count
				d.knock("", "", c.flood)
			}
			for i := range 10 {
				if w := d.knock(c.guesser, c.password, c.flood); w.Code != 401 {
					t.Fatalf("%s: try %d is answered %d", c.name, i+1, w.Code)
				}
			}
			for _, password := range []string{c.password, backwards("carol")} {
				w := d.knock("carol", password, c.same)
				if w.Code != 429 || w.Header().Get("Retry-After") != "60" || strings.Count(w.Body.String(), "\n") != 1 {
					t.Errorf("%s: after ten failures: %d %q %v", c.name, w.Code, w.Body, w.Header())
				}
			}
			if w := d.knock("carol", backwards("carol"), c.not); w.Code != 200 {
				t.Errorf("%s: from another address: %d %q", c.name, w.Code, w.Body)
			}
			time.Sleep(time.Minute)
			if w := d.knock("carol", backwards("carol"), c.flood); w.Code != 200 {
				t.Errorf("%s: a minute later: %d %q", c.name, w.Code, w.Body)
			}
		})
	}
}

// TestAFloodOfUnknownUsersKeepsNobodyOutWhoWasIn comes from many addresses, of which none gives enough wrong passwords to be refused.
func TestAFloodOfUnknownUsersKeepsNobodyOutWhoWasIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, users(t, "carol"))
		d.knock("carol", backwards("carol"), elsewhere)
		var flood sync.WaitGroup
		for i := range 200 {
			flood.Go(func() { d.knock(fmt.Sprintf("user-%d", i), "wrong", fmt.Sprintf("10.1.0.%d:1", i)) })
		}
		for i := range 100 {
			if w := d.knock("carol", backwards("carol"), elsewhere); w.Code != 200 {
				t.Fatalf("request %d beside the flood: %d %q", i, w.Code, w.Body)
			}
		}
		flood.Wait()
	})
}

// TestWhatWasRightBeforeIsNotHashedAgain: it would wait behind those that are.
func TestWhatWasRightBeforeIsNotHashedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hash, err := bcrypt.GenerateFromPassword([]byte("right"), 10)
		if err != nil {
			t.Fatal(err)
		}
		d := open(t, "basic_auth_users: {carol: "+string(hash)+"}\n")
		d.knock("carol", "right", here)
		const many = 10
		var begun, all sync.WaitGroup
		var ended atomic.Int32
		begun.Add(many)
		for i := range many {
			all.Go(func() {
				begun.Done()
				d.knock("nobody", "wrong", fmt.Sprintf("10.1.0.%d:1", i))
				ended.Add(1)
			})
		}
		begun.Wait()
		if w := d.knock("carol", "right", here); w.Code != 200 || ended.Load() == many {
			t.Errorf("carol was answered %d after all %d who gave wrong passwords", w.Code, ended.Load())
		}
		all.Wait()
	})
}

// TestOfManyAddressesTheOldestIsForgotten: what is remembered is bounded.
func TestOfManyAddressesTheOldestIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, users(t, "carol"))
		for _, from := range []string{here, elsewhere} {
			for range 10 {
				d.knock("carol", "wrong", from)
			}
			time.Sleep(time.Second)
		}
		flood := func(from, to int) {
			for i := from; i < to; i++ {
				d.knock("carol", "wrong", fmt.Sprintf("10.1.%d.%d:1", i/250, i%250))
			}
		}
		flood(0, 998)
		if got := d.knock("carol", backwards("carol"), here).Code; got != 429 {
			t.Errorf("the oldest of a thousand is answered %d", got)
		}
		flood(998, 999)
		for from, want := range map[string]int{here: 200, elsewhere: 429} {
			if got := d.knock("carol", backwards("carol"), from).Code; got != want {
				t.Errorf("%s is answered %d after one more, want %d", from, got, want)
			}
		}
	})
}

// TestSideBySideTriesAreAllCounted: none slips through while another is being hashed.
func TestSideBySideTriesAreAllCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, users(t, "carol"))
		answers := make(chan int, 60)
		for range 60 {
			go func() { answers <- d.knock("carol", "wrong", here).Code }()
		}
		counts := map[int]int{}
		for range 60 {
			counts[<-answers]++
		}
		if counts[401] != 10 || counts[429] != 50 {
			t.Errorf("60 tries at once were answered %v, want ten times 401", counts)
		}
		for range 60 {
			go func() { answers <- d.knock("carol", backwards("carol"), elsewhere).Code }()
		}
		for range 60 {
			if code := <-answers; code != 200 {
				t.Errorf("one of 60 good tries at once was answered %d", code)
			}
		}
	})
}

// TestTheFileChangesWhileTheAgentRuns is a story of good and bad luck, told with who comes in after each chapter.
func TestTheFileChangesWhileTheAgentRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both, none := users(t, "carol", "dave"), "http_server_config: {http2: false}\n"
		d := open(t, both)
		chapters := []struct {
			name, text string
			in, out    string // who comes in, who does not
			problem    string // part of it
		}{
			{"as it was", both, "carol dave", "", ""},
			{"cut off in a hash", both[:len(both)-20], "carol dave", "", "no bcrypt hash"},
			{"cut off in a key", "basic_au", "carol dave", "", "write keys"},
			{"empty", "", "carol dave", "", "authentication is not switched off"},
			{"without users", none, "carol dave", "", "authentication is not switched off"},
			{"no YAML", "basic_auth_users: [", "carol dave", "", "cannot be understood"},
			{"a user more", both + "  erin: " + hashed(t, "nire") + "\n", "carol dave erin", "", ""},
			{"a reader that is no user", both + "readers: [davee]\n", "carol dave erin", "", "did you mean dave?"},
			{"back to two", both, "carol dave", "erin", ""},
			{"one taken out", users(t, "carol"), "carol", "dave erin", ""},
			{"another password", "basic_auth_users: {carol: " + hashed(t, "new") + "}\n", "", "carol dave", ""},
		}
		for _, c := range chapters {
			d.write(t, c.text)
			settle()
			if got := d.Problem(); got == "" != (c.problem == "") || !strings.Contains(got, c.problem) || strings.Contains(got, "$2a$") {
				t.Errorf("%s: the problem is %q, want one with %q", c.name, got, c.problem)
			}
			for _, user := range strings.Fields(c.in) {
				if w := d.knock(user, backwards(user), here); w.Code != 200 {
					t.Errorf("%s: %s is answered %d", c.name, user, w.Code)
				}
			}
			for i, user := range strings.Fields(c.out) {
				if w := d.knock(user, backwards(user), fmt.Sprintf("10.2.0.%d:1", i)); w.Code != 401 {
					t.Errorf("%s: %s is answered %d", c.name, user, w.Code)
				}
			}
			time.Sleep(time.Minute) // and nobody was locked out by the failures of the chapter before
		}
		before := d.log.count("web config not taken")
		d.write(t, "")
		settle()
		if err := os.Remove(d.file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if told := d.log.count("web config not taken") - before; !strings.Contains(d.Problem(), "no such file") || told != 2 || d.knock("carol", "new", here).Code != 200 {
			t.Errorf("an hour after the file was emptied and went: %q, told %d times", d.Problem(), told)
		}
	})
}

// TestATakenOutUserIsNoMoreThanANameThatNeverWas, though the hash that stands in for it is the one that it had.
func TestATakenOutUserIsNoMoreThanANameThatNeverWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		same := hashed(t, "same")
		d := open(t, "basic_auth_users: {carol: "+same+", dave: "+same+"}\n")
		before := d.knock("dave", "same", here).Code
		d.write(t, "basic_auth_users: {carol: "+same+"}\n")
		settle()
		if after := d.knock("dave", "same", here).Code; before != 200 || after != 401 {
			t.Errorf("dave was answered %d, then %d", before, after)
		}
	})
}

// TestAFileThatIsBeingWrittenIsNotTaken: what is there of it reads well and lacks a user.
func TestAFileThatIsBeingWrittenIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both, whole := users(t, "carol", "dave"), users(t, "carol", "dave", "erin")
		d := open(t, both)
		time.Sleep(500 * time.Millisecond) // so that the gate looks between two writes
		half := strings.SplitAfter(whole, "\n")
		d.write(t, half[0]+half[1])
		time.Sleep(time.Second)
		d.write(t, whole)
		for range 3 {
			synctest.Wait()
			if w := d.knock("dave", backwards("dave"), here); w.Code != 200 {
				t.Errorf("dave, who is in both, is answered %d", w.Code)
			}
			time.Sleep(time.Second)
		}
		if w := d.knock("erin", backwards("erin"), here); w.Code != 200 {
			t.Errorf("erin is answered %d", w.Code)
		}
	})
}

func TestStreamsOfWhomTheFileNoLongerKnowsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		carol, dave, erin := hashed(t, "a"), hashed(t, "o"), hashed(t, "e")
		file := func(lines ...string) string { return "basic_auth_users:\n  " + strings.Join(lines, "\n  ") + "\n" }
		d := open(t, file("carol: "+carol, "dave: "+dave, "erin: "+erin))
		open := map[string]bool{}
		var mu sync.Mutex
		var all sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for user, password := range map[string]string{"carol": "a", "dave": "o", "erin": "e"} {
			open[user] = true
			all.Go(func() {
				d.ServeHTTP(httptest.NewRecorder(), request("/stream", user, password, here).WithContext(ctx))
				mu.Lock()
				defer mu.Unlock()
				delete(open, user)
			})
		}
		expect := func(when string, users ...string) {
			t.Helper()
			settle()
			mu.Lock()
			defer mu.Unlock()
			for _, user := range users {
				if !open[user] {
					t.Errorf("%s: the stream of %s ended", when, user)
				}
			}
			if len(open) != len(users) {
				t.Errorf("%s: streams are open of %v, want %v", when, open, users)
			}
		}
		expect("at first", "carol", "dave", "erin")
		d.write(t, file("carol: "+carol, "dave: "+hashed(t, "o"), "erin: "+erin))
		expect("after another password for dave", "carol", "erin")
		d.write(t, file("carol: "+carol, "erin: "+erin)+"readers: [erin]\n")
		expect("after erin became a reader", "carol")
		d.write(t, file("carol: "+carol, "new: "+erin))
		expect("after somebody came", "carol")
		d.write(t, file("new: "+erin))
		expect("after carol went")
		cancel()
		all.Wait()
	})
}

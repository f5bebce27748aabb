package reconciler

import (
	"context"
	"sync"
	"time"
)

// A taskKind tells the uses of tasks apart.
type taskKind string

const (
	taskInventory taskKind = "inventory"
	taskGroups    taskKind = "groups"
	taskRead      taskKind = "read"
	taskProbe     taskKind = "probe"
	taskSense     taskKind = "sense"
	taskRenew     taskKind = "renew"
	taskStep      taskKind = "step"
	taskHistory   taskKind = "history"
	taskGate      taskKind = "gate"
)

// tasks are the calls to the outside that are in flight, each at most once per kind and subject. A task runs apart and ends
// in a function that the loop applies, so that only the loop ever touches what it knows.
type tasks struct {
	done    chan func()
	gone    chan struct{} // closed when nobody applies any more
	running map[task]bool
	kinds   map[taskKind]int
	group   *sync.WaitGroup
	ended   func(taskKind) // is told of each task that has ended
}

type task struct {
	kind    taskKind
	subject string
}

func newTasks(ended func(taskKind)) tasks {
	return tasks{
		ended: ended,
		done:  make(chan func(), 64), gone: make(chan struct{}), running: map[task]bool{}, kinds: map[taskKind]int{}, group: new(sync.WaitGroup),
	}
}

// begin starts do, and reports whether it did: not while the same task is in flight. do ends by its deadline and returns what to apply.
func (t *tasks) begin(ctx context.Context, kind taskKind, subject string, deadline time.Duration, do func(context.Context) func()) bool {
	key := task{kind, subject}
	if t.running[key] {
		return false
	}
	t.running[key] = true
	t.kinds[kind]++
	t.group.Add(1)
	go func() {
		defer t.group.Done()
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		apply := do(ctx)
		t.tell(func() { t.end(key); apply() })
	}()
	return true
}

// tell has the loop apply what a task knows, before it ends.
func (t *tasks) tell(apply func()) {
	select {
	case t.done <- apply:
	case <-t.gone:
	}
}

func (t *tasks) end(key task) {
	delete(t.running, key)
	t.kinds[key.kind]--
	t.ended(key.kind)
}

func (t *tasks) busy(kind taskKind, subject string) bool { return t.running[task{kind, subject}] }

func (t *tasks) busyWith(kind taskKind) int { return t.kinds[kind] }

// drain applies what else has ended already, so that one pass sees all of it.
func (t *tasks) drain() {
	for {
		select {
		case apply := <-t.done:
			apply()
		default:
			return
		}
	}
}

// wait returns when every task has ended; what they would have applied is lost.
func (t *tasks) wait() {
	close(t.gone)
	t.group.Wait()
}

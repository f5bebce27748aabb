package host

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"windlass/actuators"
)

var (
	modePattern  = regexp.MustCompile(`^[0-7]{3,4}$`)
	ownerPattern = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.-]*\$?)?(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$`)
	envPattern   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// errInterrupted is a job that neither runs nor has ended: it was killed from outside, or its node rebooted.
var errInterrupted = errors.New("the job was interrupted on the node before it ended; running it again starts it again")

// Run is Write, and then the job, in one call. The record must carry the claim that the job runs under. As soon as the record is written,
// written is told of the new state: at most once, maybe from another goroutine, and never after Run has returned. Nothing is written
// and nothing is started when the error is actuators.ErrChanged and written was not called; with any other error before that call the
// record may have been written. A record that is already what it should become is another one than old, too: read again.
//
// Run then runs the job's steps, one after the other, with its files placed where FilesAfter says, and returns how they ended. It starts
// the job only while the record is the one just written, renewed or not, and its claim has not expired by the node's clock, and after any
// other job of the fleet has ended; otherwise the error is actuators.ErrChanged. A job of the same key that runs is attached to, one that has ended
// is not run again, one that was interrupted is. An error says nothing about the job, except that it has not been seen to end: a lost
// connection, a full disk, an interruption are no failed steps (law 19).
//
// A file is replaced at once, and only when content, mode or owner differ; the directory it belongs in must exist. A file that cannot be
// placed counts as a failed step, "place <path>", but for a disk that is full or read-only, which is an error. Steps run in job.Dir, which may be relative to the fleet's directory, with
// standard input closed, job.Env, and WINDLASS_DIR (the fleet's directory). A step ended by its time-out has status 124. How a job
// ended is not synced to disk, so that no result outlives a power failure which its effects did not survive.
func (h *Host) Run(ctx context.Context, at actuators.Place, old string, record actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	state, err := h.run(ctx, at, old, record, job, written)
	if err != nil {
		return actuators.JobState{}, explain("run job "+job.Key+" on", at, err)
	}
	return state, nil
}

func (h *Host) run(ctx context.Context, at actuators.Place, old string, record actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	if h.readOnly {
		return actuators.JobState{}, errReadOnly
	}
	if err := checkJob(record.Claim, job); err != nil {
		return actuators.JobState{}, err
	}
	b, err := encode(record)
	if err != nil {
		return actuators.JobState{}, err
	}
	args := slices.Concat(writeArguments(old, b), jobArguments(job))
	first := herald{fleet: at.Fleet, record: b, written: written, err: errNotWhole}
	out, err := h.pool.exec(ctx, at, request{command: commandLine(at, writeScript+runScript, args...), stdin: jobInput(job), begin: first.read})
	unheard := first.end()
	if err == nil {
		err = out.failure(at)
	}
	if err = cmp.Or(err, unheard); err != nil {
		return actuators.JobState{}, err
	}
	state, err := readReport(newReportReader(bytes.NewReader(out.stdout)))
	if err != nil {
		return actuators.JobState{}, err
	}
	if state.Job.Key != job.Key || !state.Job.Exited {
		return actuators.JobState{}, errInterrupted
	}
	return state.Job, nil
}

// A herald tells of the written record while its session goes on.
type herald struct {
	fleet  string
	record []byte

	mu      sync.Mutex
	written func(actuators.HostState) // nil once nobody may be told any more
	err     error                     // why nobody was told; nil: it was told
}

// read takes the first report of the session's output.
func (h *herald) read(r *bufio.Reader) {
	state, err := readReport(r)
	if err == nil {
		err = checkReport(state)
	}
	if err == nil {
		state, err = writtenState(state, h.record, h.fleet)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && h.written != nil {
		h.written(state)
	}
	h.err = err
}

// end makes sure that nobody is told any more, and returns why nobody was.
func (h *herald) end() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.written = nil
	return h.err
}

// jobArguments are what run.sh and then runner.sh take, in their order.
func jobArguments(job actuators.Job) []string {
	sizes, need := []string{}, job.NeedsKB+2048 // the output, and some
	for _, f := range job.Files {
		sizes = append(sizes, strconv.Itoa(len(f.Content)))
		need += 2 * int64(len(f.Content)/1024+4) // staged, and beside its place
	}
	args := []string{job.Key, strconv.FormatInt(need, 10), strconv.Itoa(limitOf(job)), compact(runnerScript), strings.Join(sizes, " ")}
	args = append(args, job.Dir, strconv.Itoa(len(job.Env)))
	args = append(args, job.Env...)
	args = append(args, strconv.Itoa(job.FilesAfter))
	args = append(args, stepArguments(job.Steps[:job.FilesAfter])...)
	args = append(args, strconv.Itoa(len(job.Files)))
	for _, f := range job.Files {
		args = append(args, f.To, cmp.Or(f.Mode, "0644"), f.Owner, versionOf(f.Content))
	}
	return append(args, stepArguments(job.Steps[job.FilesAfter:])...)
}

func stepArguments(steps []actuators.JobStep) []string {
	var args []string
	for _, s := range steps {
		args = append(args, s.Name, seconds(s.Timeout), s.Run)
	}
	return args
}

// jobInput is the files' content, and a last line that tells a whole transmission from a torn one.
func jobInput(job actuators.Job) io.Reader {
	if len(job.Files) == 0 {
		return nil
	}
	var parts []io.Reader
	for _, f := range job.Files {
		parts = append(parts, bytes.NewReader(f.Content))
	}
	return io.MultiReader(append(parts, strings.NewReader("end\n"))...)
}

// limitOf is how many seconds a job takes at most: its steps' time-outs with the grace before SIGKILL, and a minute for its files.
func limitOf(job actuators.Job) int {
	limit := time.Minute
	for _, s := range job.Steps {
		limit += s.Timeout + 11*time.Second
	}
	return int(limit / time.Second)
}

// seconds is d as timeout(1) reads it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// checkJob refuses what the scripts could misread.
func checkJob(claim *actuators.Claim, job actuators.Job) error {
	if claim == nil {
		return errors.New("its record carries no claim")
	}
	if !keyPattern.MatchString(job.Key) {
		return fmt.Errorf("its key %q is not of [a-z0-9-]", job.Key)
	}
	if strings.ContainsRune(job.Dir, 0) {
		return errors.New("its directory holds a zero byte")
	}
	if job.FilesAfter < 0 || job.FilesAfter > len(job.Steps) {
		return fmt.Errorf("its files come after step %d of %d", job.FilesAfter, len(job.Steps))
	}
	for _, e := range job.Env {
		if !envPattern.MatchString(e) || strings.ContainsRune(e, 0) {
			return fmt.Errorf("its environment holds %.40q, which is not NAME=value", e)
		}
	}
	for _, f := range job.Files {
		if err := checkFile(f); err != nil {
			return err
		}
	}
	for _, s := range job.Steps {
		if err := checkStep(s); err != nil {
			return err
		}
	}
	return nil
}

func checkFile(f actuators.JobFile) error {
	switch {
	case !path.IsAbs(f.To) || path.Clean(f.To) != f.To || f.To == "/" || strings.ContainsFunc(f.To, unicode.IsControl):
		return fmt.Errorf("a file goes to %.200q, which is no plain absolute path", f.To)
	case f.Mode != "" && !modePattern.MatchString(f.Mode):
		return fmt.Errorf("file %s has mode %.20q, which is not octal", f.To, f.Mode)
	case !ownerPattern.MatchString(f.Owner):
		return fmt.Errorf("file %s has owner %.80q, which is not user or user:group", f.To, f.Owner)
	}
	return nil
}

func checkStep(s actuators.JobStep) error {
	switch {
	case s.Name == "" || len(s.Name) > 200 || strings.ContainsFunc(s.Name, unicode.IsControl):
		return fmt.Errorf("step %.80q needs a name of one line", s.Name)
	case s.Timeout <= 0:
		return fmt.Errorf("step %s has no time-out", s.Name)
	case strings.ContainsRune(s.Run, 0):
		return fmt.Errorf("step %s holds a zero byte", s.Name)
	}
	return nil
}

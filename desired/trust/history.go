package trust

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Behind is how much older than the commit it follows one on the line may be: people's clocks differ.
const Behind = 5 * time.Minute

// ErrUnfetched is what a History lacks and a longer one may have.
var ErrUnfetched = errors.New("that part of the history was not fetched")

// A History is the commits that lead from the accepted one to a head. What is not there is ErrUnfetched; any other error that is no *Refusal ends the
// judgement, which then told nothing.
type History interface {
	// Commit returns a commit's raw bytes (see ParseCommit).
	Commit(id string) ([]byte, error)
	// Keys are who may sign by the files of a commit. A *Refusal says why these are not in order.
	Keys(id string) (*Keys, error)
	// Accepted reports whether a commit is the accepted one or one of its ancestors.
	Accepted(id string) (bool, error)
}

// A Verdict is how far a line of commits is good.
type Verdict struct {
	Good    string   // the newest commit up to which all is good; the accepted one where nothing new is
	Refused *Refused // the next one; nil: there is none
}

// A Refused is a commit of the line that is not accepted, so that nothing that follows it is.
type Refused struct {
	Commit  string // of the line
	Lacking string // the commit that Refusal speaks of: the same, or one that it merged
	Author  string // of Lacking, name and address; hostile text
	*Refusal
}

// Error names the commit and its author, and says what is missing; one line.
func (r *Refused) Error() string {
	merged := ""
	if r.Lacking != r.Commit {
		merged = fmt.Sprintf(", which commit %s merged,", r.Commit)
	}
	return fmt.Sprintf("commit %s by %s%s is not accepted: %s", r.Lacking, shown(r.Author), merged, r.Text)
}

// Judge tells how far the commits from an accepted one to a head are good. They are judged one by one along the line of first parents, each with all that it
// merged, by the files of the commit before it, so that who may sign is changed only by who may sign already. What was merged must have been good by these files
// as of its merge as well: a key that was taken out signs nothing more, on no branch. Where the line of first parents passes the accepted commit by, as when
// somebody pulled before they pushed, it goes by the first of the other parents that follows that commit.
//
// now is the agent's clock. The same history and time give the same verdict. The error is of the History.
func Judge(h History, accepted, head string, now time.Time) (Verdict, error) {
	j := &judge{History: h, now: now, settled: map[string]bool{accepted: true}}
	line, err := j.line(accepted, head)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Good: accepted}
	for _, next := range line {
		if v.Refused, err = j.step(v.Good, next); err != nil || v.Refused != nil {
			return v, err
		}
		v.Good = next
	}
	return v, nil
}

// JudgeHead tells whether a head is good by itself: signed by one of the keys, and not of the future. It is for a first commit, which follows nothing that was
// accepted; what led to it is vouched for by whoever signed it. The error is of the History.
func JudgeHead(h History, head string, keys *Keys, now time.Time) (*Refused, error) {
	j := &judge{History: h, now: now}
	c, err := j.read(head)
	if err != nil {
		return nil, err
	}
	return c.lacks(head, j.signed(c, keys)), nil
}

// A judge judges one line.
type judge struct {
	History
	now     time.Time
	settled map[string]bool // accepted, or found good on the way
}

// A readCommit is a commit as the walk knows it.
type readCommit struct {
	Commit
	id  string
	raw []byte
}

func (j *judge) read(id string) (readCommit, error) {
	raw, err := j.Commit(id)
	if err != nil {
		return readCommit{}, err
	}
	c := readCommit{id: id, raw: raw}
	c.Commit, _ = ParseCommit(raw) // what cannot be read of it, Keys.Commit refuses
	return c, nil
}

// lacks is the refusal of a commit of the line for what c lacks; nil for none.
func (c readCommit) lacks(line string, no *Refusal) *Refused {
	if no == nil {
		return nil
	}
	return &Refused{Commit: line, Lacking: c.id, Author: c.Author, Refusal: no}
}

// line is the commits from an accepted one, which it leaves out, to a head, the oldest first.
func (j *judge) line(accepted, head string) ([]string, error) {
	line, err := j.follow(accepted, head, func(parents []string) string {
		if len(parents) == 0 {
			return ""
		}
		return parents[0]
	})
	if err != nil || line != nil {
		return line, err
	}
	follows, err := j.descendants(accepted, head)
	if err != nil {
		return nil, err
	}
	line, err = j.follow(accepted, head, func(parents []string) string {
		if i := slices.IndexFunc(parents, func(id string) bool { return follows[id] }); i >= 0 {
			return parents[i]
		}
		return ""
	})
	if err == nil && line == nil {
		err = fmt.Errorf("commit %s does not follow the accepted commit %s", head, accepted)
	}
	return line, err
}

// follow goes from a head to the accepted commit, by the parent that is chosen of each. It is nil when it does not come by there.
func (j *judge) follow(accepted, head string, choose func(parents []string) string) ([]string, error) {
	line := []string{}
	for at := head; at != accepted; {
		c, err := j.read(at)
		if err != nil {
			return nil, err
		}
		line = append(line, at)
		if at = choose(c.Parents); at == "" {
			return nil, nil
		}
	}
	slices.Reverse(line)
	return line, nil
}

// descendants are the accepted commit and those of a head's ancestors that follow it.
func (j *judge) descendants(accepted, head string) (map[string]bool, error) {
	children := map[string][]string{}
	err := j.visit([]string{head}, map[string]bool{accepted: true}, func(c readCommit) error {
		for _, parent := range c.Parents {
			children[parent] = append(children[parent], c.id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	follows := map[string]bool{accepted: true}
	for todo := []string{accepted}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, child := range children[next] {
			if !follows[child] {
				follows[child] = true
				todo = append(todo, child)
			}
		}
	}
	return follows, nil
}

// visit reads commits and their ancestors that are neither accepted nor known, first parents first, until look fails. It knows those it read.
func (j *judge) visit(from []string, known map[string]bool, look func(readCommit) error) error {
	todo := slices.Clone(from)
	slices.Reverse(todo)
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if known[next] {
			continue
		}
		accepted, err := j.Accepted(next)
		if err != nil {
			return err
		}
		known[next] = true
		if accepted {
			continue
		}
		c, err := j.read(next)
		if err != nil {
			return err
		}
		if err := look(c); err != nil {
			return err
		}
		for _, parent := range slices.Backward(c.Parents) {
			todo = append(todo, parent)
		}
	}
	return nil
}

// step judges the next commit of the line, with all that it merged, by the files of the one before.
func (j *judge) step(before, next string) (*Refused, error) {
	c, err := j.read(next)
	if err != nil {
		return nil, err
	}
	was, err := j.read(before)
	if err != nil {
		return nil, err
	}
	keys, no, err := j.keys(before)
	if err != nil {
		return nil, err
	}
	if no == nil {
		no = j.signed(c, keys)
	}
	if no == nil {
		no = j.dated(c, was)
	}
	if no != nil {
		return c.lacks(next, no), nil
	}
	if refused, err := j.merged(c, keys); refused != nil || err != nil {
		return refused, err
	}
	_, no, err = j.keys(next)
	return c.lacks(next, no), err
}

// merged judges what a commit of the line merged. Its dates are free: work may have waited for long, and was to be signed by who may sign now as well.
func (j *judge) merged(c readCommit, keys *Keys) (*Refused, error) {
	j.settled[c.id] = true
	err := j.visit(c.Parents, j.settled, func(side readCommit) error {
		if no := verdictOf(keys.Commit(side.raw, j.now, c.Committed)); no != nil {
			return side.lacks(c.id, no)
		}
		return nil
	})
	var refused *Refused
	if errors.As(err, &refused) {
		return refused, nil
	}
	return nil, err
}

// keys are who may sign what follows a commit; the refusal is of files that do not say it.
func (j *judge) keys(id string) (*Keys, *Refusal, error) {
	keys, err := j.Keys(id)
	var no *Refusal
	if errors.As(err, &no) {
		return nil, no, nil
	}
	return keys, nil, err
}

// signed is why a commit is not signed by one of the keys, or is of the future; nil: it is.
func (j *judge) signed(c readCommit, keys *Keys) *Refusal {
	if no := verdictOf(keys.Commit(c.raw, j.now)); no != nil {
		return no
	}
	if c.Committed.After(j.now.Add(Ahead)) {
		return &Refusal{Reason: Future, Again: c.Committed.Add(-Ahead),
			Text: fmt.Sprintf("it was committed at %s, %s ahead of this machine's clock: one of the two is wrong", clock(c.Committed), c.Committed.Sub(j.now).Round(time.Second))}
	}
	return nil
}

// dated is why a commit is older than what it follows; nil: it is not. What a person accepted may be of the future, and what follows it is not to wait for that.
func (j *judge) dated(c, was readCommit) *Refusal {
	from := was.Committed
	if from.After(j.now) {
		from = j.now
	}
	if !c.Committed.Before(from.Add(-Behind)) {
		return nil
	}
	return refused(Backdated, "it was committed at %s, more than %d minutes before commit %s, which it follows: correct the clock of whoever made it, and make it again",
		clock(c.Committed), int(Behind.Minutes()), was.id)
}

// verdictOf is why a signature does not count; nil: it does. An error of another kind is no yes either.
func verdictOf(_ Signer, err error) *Refusal {
	if err == nil {
		return nil
	}
	if no := (*Refusal)(nil); errors.As(err, &no) && no != nil {
		return no
	}
	return refused(Malformed, "its signature cannot be verified: %v", err)
}

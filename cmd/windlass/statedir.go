package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"windlass/internal/durable"
	"windlass/reconciler/plan"
)

// A stateDir is the agent's own directory, locked for as long as this process lives. Losing what is in it loses no rollout.
type stateDir struct {
	path string
	lock *os.File
}

// openStateDir makes the directory when it is missing, proves that it can be written, and locks it. Close lets go of it.
func openStateDir(path string) (*stateDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the state directory: %w; give one that can be written with --state-dir", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write to the state directory: %w; give one that can be written with --state-dir", err)
	}
	if err := takeLock(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot use state directory %s: %w", path, err)
	}
	return &stateDir{path: path, lock: lock}, nil
}

// takeLock locks the file, which the kernel undoes however this process ends, and leaves the process id there for people.
func takeLock(lock *os.File) error {
	err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(lock, 32))
		return fmt.Errorf("the agent with process id %s runs there; stop it, or give another --state-dir", strings.TrimSpace(string(holder)))
	}
	if err != nil {
		return fmt.Errorf("cannot lock it: %w", err)
	}
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err = lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// Close unlocks the directory, also where a process that is just being started has the file open for an instant.
func (d *stateDir) Close() error {
	return errors.Join(syscall.Flock(int(d.lock.Fd()), syscall.LOCK_UN), d.lock.Close())
}

// gitDir is where in an agent's state directory the accepted commit is kept.
func gitDir(stateDir string) string { return filepath.Join(stateDir, "git") }

const identitySchema = 1

// An identity is how this agent is known in claims, over all its starts.
type identity struct {
	Schema int    `json:"schema"`
	Holder string `json:"holder"`
	Epoch  int    `json:"epoch"`
}

// begin is the agent of this start: the same holder as ever, the next epoch, a new nonce (law 18). The epoch is on disk when it
// returns.
func (d *stateDir) begin() (plan.Agent, error) {
	known, err := d.identity()
	if err != nil {
		return plan.Agent{}, err
	}
	known.Epoch++
	text, err := json.Marshal(known)
	if err != nil {
		return plan.Agent{}, err
	}
	if err := durable.Replace(d.identityPath(), append(text, '\n')); err != nil {
		return plan.Agent{}, fmt.Errorf("cannot keep this agent's identity: %w", err)
	}
	return plan.Agent{Holder: known.Holder, Epoch: known.Epoch, Nonce: rand.Text()}, nil
}

// known is the agent that begin would return, but for its nonce. It writes nothing.
func (d *stateDir) known() (plan.Agent, error) {
	known, err := d.identity()
	if errors.Is(err, fs.ErrPermission) {
		known, err = newIdentity(), nil
	}
	return plan.Agent{Holder: known.Holder, Epoch: known.Epoch + 1, Nonce: rand.Text()}, err
}

func (d *stateDir) identityPath() string { return filepath.Join(d.path, "agent.json") }

// identity is the one kept here, or a new one where none is. Damage is an error: under another name, the agent would have to wait
// for its own claims to expire.
func (d *stateDir) identity() (identity, error) {
	text, err := os.ReadFile(d.identityPath())
	if errors.Is(err, fs.ErrNotExist) {
		return newIdentity(), nil
	}
	if err != nil {
		return identity{}, fmt.Errorf("cannot read this agent's identity: %w", err)
	}
	var known identity
	decoder := json.NewDecoder(bytes.NewReader(text))
	switch err := decoder.Decode(&known); {
	case err != nil || known.Holder == "" || known.Epoch < 0:
		return identity{}, fmt.Errorf("cannot understand this agent's identity in %s: move the file away to get a new one", d.identityPath())
	case known.Schema > identitySchema:
		return identity{}, fmt.Errorf("%s was written by a newer windlass: run that version", d.identityPath())
	}
	return known, nil
}

// newIdentity names the machine, for people who meet the claim, and is random beyond that.
func newIdentity() identity {
	host, err := os.Hostname()
	if err != nil {
		host = "windlass"
	}
	return identity{Schema: identitySchema, Holder: host + "-" + rand.Text()[:10]}
}

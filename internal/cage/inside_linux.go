package cage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Where a cage's processes find their ends of the sockets.
const (
	control = 3
	wayOut  = 4 // in a cage that has one
)

// specFile holds what the builder was told, for what runs inside.
const specFile = Dir + "/spec"

// Enter is a stage of a cage, by the last of args; it is called in a process that Start began and returns when the cage is to end.
func Enter(args []string, inside Inside) error {
	if len(args) == 0 || os.Getpid() != 1 && !strings.HasPrefix(args[len(args)-1], stageWork) {
		return errors.New("this command is only for windlass up to start")
	}
	stage, out := strings.CutSuffix(args[len(args)-1], withOut)
	switch stage {
	case stageBuild:
		return build(args)
	case stageInit:
		return initialise(args, out)
	case stageWork:
		return work(inside, out)
	}
	return fmt.Errorf("there is no stage %q of a cage", args[len(args)-1])
}

// next is the command line of a later stage.
func next(args []string, stage string, out bool) []string {
	if out {
		stage += withOut
	}
	return append(slices.Clone(args[:len(args)-1]), stage)
}

// build makes the cage around this process and becomes its process 1. What fails is told over the socket.
func build(args []string) error {
	conn, err := socket(control)
	if err != nil {
		return fmt.Errorf("cannot build a cage: %w", err)
	}
	err = buildWith(conn, args)
	_, _ = conn.Write([]byte(cut(err.Error())))
	return err
}

func cut(word string) string { return word[:min(len(word), longestWord)] }

func socket(of int) (*net.UnixConn, error) {
	fd, err := unix.FcntlInt(uintptr(of), unix.F_DUPFD_CLOEXEC, 0) // the original stays open for the next stage
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "control")
	defer file.Close() // FileConn has its own
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("this command is only for windlass up to start")
	}
	return unixConn, nil
}

// buildWith does not return unless something fails.
func buildWith(conn *net.UnixConn, args []string) error {
	text := make([]byte, 1<<20)
	n, err := conn.Read(text)
	if err != nil {
		return err
	}
	var spec Spec
	if err := json.Unmarshal(text[:n], &spec); err != nil {
		return err
	}
	if err := makeRoot(spec); err != nil {
		return err
	}
	if err := raiseLoopback(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := unix.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	return seal(func() error {
		if _, err := unix.FcntlInt(control, unix.F_SETFD, 0); err != nil {
			return err
		}
		if spec.Out {
			if _, err := unix.FcntlInt(wayOut, unix.F_SETFD, 0); err != nil {
				return err
			}
		}
		return syscall.Exec(Binary, append([]string{"windlass"}, next(args, stageInit, spec.Out)...), environment())
	})
}

// environment is all that is in the environment of a cage.
func environment() []string { return []string{"PATH=" + SearchPath, "HOME=/root", "SHELL=/bin/sh"} }

// initialise is process 1: it starts what runs inside, collects the dead, and ends with it, which ends everything else.
func initialise(args []string, out bool) error {
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr, os.NewFile(control, "control")}
	if out {
		files = append(files, os.NewFile(wayOut, "way out"))
	}
	worker, err := os.StartProcess(Binary, append([]string{"windlass"}, next(args, stageWork, out)...), &os.ProcAttr{Env: environment(), Dir: "/", Files: files})
	if err != nil {
		_, _ = unix.Write(control, []byte(cut(err.Error()))) // who started the cage waits for a word
		return err
	}
	for {
		pid, err := syscall.Wait4(-1, nil, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case pid == worker.Pid:
			return nil
		}
	}
}

// work runs what is inside, and answers the questions of who started the cage until that ends.
func work(inside Inside, out bool) error {
	syscall.CloseOnExec(control)
	conn, err := socket(control)
	if err != nil {
		return err
	}
	if out {
		if err := handOut(); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(specFile)
	if err := errors.Join(err, os.Remove(specFile)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = inside(ctx, text, func() {
		_, _ = conn.Write([]byte(wordReady))
		go func() {
			defer cancel()
			answer(conn)
		}()
	})
	if err != nil {
		_, _ = conn.Write([]byte(cut(err.Error())))
	}
	return err
}

// handOut hands whatever connects to OutPort to who started the cage.
func handOut() error {
	syscall.CloseOnExec(wayOut)
	way, err := socket(wayOut)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(OutPort)))
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if file, err := conn.(*net.TCPConn).File(); err == nil {
				_, _, _ = way.WriteMsgUnix([]byte(wordHere), unix.UnixRights(int(file.Fd())), nil)
				file.Close()
			}
			conn.Close()
		}
	}()
	return nil
}

// answer hands out connections to ports of the loopback until nobody asks any more.
func answer(conn *net.UnixConn) {
	question := make([]byte, 16)
	for {
		n, err := conn.Read(question)
		if err != nil || n == 0 {
			return
		}
		word, rights, done := connect(string(question[:n]))
		_, _, err = conn.WriteMsgUnix([]byte(word), rights, nil)
		done()
		if err != nil {
			return
		}
	}
}

const connectTime = 2 * time.Second

func connect(port string) (word string, rights []byte, done func()) {
	nothing := func() {}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "no port", nil, nothing
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), connectTime)
	if err != nil {
		return cut(err.Error()), nil, nothing
	}
	file, err := conn.(*net.TCPConn).File()
	conn.Close()
	if err != nil {
		return cut(err.Error()), nil, nothing
	}
	return wordHere, unix.UnixRights(int(file.Fd())), func() { file.Close() }
}

package cage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Cage is one that runs. Its methods may be called side by side.
type Cage struct {
	name    string
	process *os.Process
	ended   chan struct{}

	out *net.UnixConn // nil: it has no way out

	mu      sync.Mutex // one question at a time
	control *net.UnixConn
	owed    int // answers to questions
}

const (
	buildTime   = 20 * time.Second // until what runs inside is ready
	askTime     = 5 * time.Second  // for an answer from inside
	longestWord = 4 << 10          // of an answer
)

// Start makes a cage and returns when what runs inside is ready. What is written to standard error in it goes to log. The error says
// what this machine refuses; then nothing is left.
func Start(ctx context.Context, spec Spec, log io.Writer) (*Cage, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, fmt.Errorf("cannot make a cage: %w", err)
	}
	defer theirs.Close()
	c := &Cage{name: spec.Name, control: ours, ended: make(chan struct{})}
	inside := []*os.File{theirs}
	if spec.Out {
		var way *os.File
		if c.out, way, err = socketpair(); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot make a cage: %w", err), ours.Close())
		}
		defer way.Close()
		inside = append(inside, way)
	}
	if err := c.begin(spec, inside, log); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make a cage: %w; %s", err, remedy), c.closeSockets())
	}
	if err := c.instruct(ctx, spec); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make a cage: %w; %s", err, remedy), c.Kill())
	}
	return c, nil
}

const remedy = "it takes user namespaces and an overlay in them (Linux 5.11 or newer, nothing that forbids them), and nothing is run without"

func socketpair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close() // FileConn has its own
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// begin starts the process that builds the cage from within. It dies with this process, however that ends: the thread that starts it
// is its parent to the kernel, and waits for its end.
func (c *Cage) begin(spec Spec, sockets []*os.File, log io.Writer) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = slices.Concat([]string{"windlass"}, spec.Args, []string{stageBuild})
	cmd.Env = []string{"PATH=" + SearchPath}
	cmd.Stderr = log
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second // its children share its standard error
	cmd.ExtraFiles = sockets
	cmd.SysProcAttr = namespaces(spec.Slot)
	begun := make(chan error)
	go func() {
		defer close(c.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		c.process = cmd.Process
		begun <- err
		if err == nil {
			_ = cmd.Wait() // it is killed, always
		}
	}()
	return <-begun
}

// namespaces are those of a cage. Root of a cage is nobody outside: where we are root, ids of a range that nobody has; otherwise whoever
// we are, who cannot be anybody else.
func namespaces(slot int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Setsid:     true,
		Pdeathsig:  syscall.SIGKILL,
	}
	first, count := os.Geteuid(), 1
	if first == 0 {
		first, count = nobody, 1
		if WholeIDs() {
			first, count = firstID+slot*idsEach, idsEach
		}
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{Uid: 0, Gid: 0}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: first, Size: count}}
	} else {
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	attr.UidMappings = []syscall.SysProcIDMap{{HostID: first, Size: count}}
	return attr
}

// Ids above those that systemd and the distributions give to containers.
const (
	nobody  = 65534
	firstID = 0x70000000
	idsEach = 1 << 16
)

// WholeIDs reports whether cages here have users of their own, as those made by root have. Others have root alone.
func WholeIDs() bool { return os.Geteuid() == 0 && mapped("uid_map") && mapped("gid_map") }

// mapped reports whether this process's user namespace has the ids that cages use.
func mapped(file string) bool {
	text, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return false
		}
		first, err := strconv.ParseUint(fields[0], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 33)
		if err == nil && err2 == nil && first <= firstID && first+count >= firstID+100*idsEach {
			return true
		}
	}
	return false
}

// instruct tells the cage what it is to be, and waits until it is.
func (c *Cage) instruct(ctx context.Context, spec Spec) error {
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.control.Close() })
	defer stop()
	if err := c.control.SetDeadline(time.Now().Add(buildTime)); err != nil {
		return err
	}
	if _, err := c.control.Write(text); err != nil {
		return err
	}
	word, files, err := receive(c.control)
	closeAll(files)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("it ended before it was ready: %w", err)
	case word != wordReady:
		return errors.New(word)
	}
	return c.control.SetDeadline(time.Time{})
}

// The words of what is inside.
const (
	wordReady = "ready"
	wordHere  = "here" // with a connection
)

// Dial connects to a port of the cage's loopback. The connection was made inside and handed out: nothing of this machine's network
// goes in.
func (c *Cage) Dial(_ context.Context, port int) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.control.SetDeadline(time.Now().Add(askTime)); err != nil {
		return nil, err
	}
	word, files, err := c.ask(strconv.Itoa(port))
	defer closeAll(files)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot reach node %s: %w", c.name, err)
	case word != wordHere || len(files) != 1:
		return nil, fmt.Errorf("cannot reach port %d of node %s: %q", port, c.name, word)
	}
	conn, ok := theOne(files)
	if !ok {
		return nil, fmt.Errorf("cannot reach port %d of node %s: it handed out no TCP connection", port, c.name)
	}
	return conn, nil
}

// ask returns the answer to a question. Answers that are too late for who asked come first: they are let go of.
func (c *Cage) ask(question string) (word string, files []*os.File, err error) {
	if _, err := c.control.Write([]byte(question)); err != nil {
		return "", nil, err
	}
	for c.owed++; c.owed > 0; c.owed-- {
		closeAll(files)
		if word, files, err = receive(c.control); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return word, files, err
}

// receive reads one word, and what was handed over with it. The text is hostile.
func receive(conn *net.UnixConn) (string, []*os.File, error) {
	word, rights := make([]byte, longestWord), make([]byte, unix.CmsgSpace(4*8))
	n, rn, flags, _, err := conn.ReadMsgUnix(word, rights)
	files := handedOver(rights[:rn])
	switch {
	case err != nil:
		return "", files, err
	case n == 0:
		return "", files, io.EOF
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		return "", files, errors.New("it says more than it was asked")
	}
	return string(word[:n]), files, nil
}

func handedOver(rights []byte) (files []*os.File) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Kill ends the cage with everything in it, which leaves nothing: its files were in memory, and its mounts its own.
func (c *Cage) Kill() error {
	err := c.process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-c.ended
	return errors.Join(err, c.closeSockets())
}

func (c *Cage) closeSockets() error {
	err := ignoreClosed(c.control.Close())
	if c.out != nil {
		err = errors.Join(err, ignoreClosed(c.out.Close()))
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Outgoing accepts what connects to OutPort inside. The connections are the cage's own: who accepts them decides what becomes of them.
func (c *Cage) Outgoing() net.Listener { return outgoing{c.out} }

type outgoing struct{ *net.UnixConn }

// Accept waits for the next connection, and ends with the cage. What is no connection is passed over.
func (o outgoing) Accept() (net.Conn, error) {
	for {
		_, files, err := receive(o.UnixConn)
		if err != nil && len(files) == 0 {
			return nil, net.ErrClosed
		}
		conn, ok := theOne(files)
		closeAll(files)
		if ok {
			return conn, nil
		}
	}
}

// Addr is where it is inside.
func (o outgoing) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: OutPort} }

func theOne(files []*os.File) (net.Conn, bool) {
	if len(files) != 1 {
		return nil, false
	}
	conn, err := net.FileConn(files[0])
	if err != nil {
		return nil, false
	}
	if _, tcp := conn.(*net.TCPConn); !tcp {
		conn.Close()
		return nil, false
	}
	return conn, true
}

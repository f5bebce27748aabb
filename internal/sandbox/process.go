package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// A process is a command that a session runs.
type process struct {
	cmd                   *exec.Cmd
	stdin, stdout, stderr *os.File // our ends of its pipes
	theirs                []*os.File
}

// start runs what an exec or shell request asks for.
func (s *sshServer) start(r *ssh.Request) (*process, bool) {
	cmd := exec.Command("/bin/sh")
	if r.Type == "exec" {
		var m struct{ Command string }
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return nil, false
		}
		cmd.Args = append(cmd.Args, "-c", m.Command)
	}
	cmd.Dir, cmd.Env = s.home, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p := &process{cmd: cmd}
	defer p.closeTheirs()
	if err := p.connect(); err != nil {
		p.hangUp()
		return nil, false
	}
	if err := cmd.Start(); err != nil {
		p.hangUp()
		return nil, false
	}
	return p, true
}

// connect makes the pipes. They are files, so that the end of the command can be told from the end of its output.
func (p *process) connect() error {
	in, stdin, err := os.Pipe()
	if err != nil {
		return err
	}
	p.cmd.Stdin, p.stdin, p.theirs = in, stdin, append(p.theirs, in)
	stdout, out, err := os.Pipe()
	if err != nil {
		return err
	}
	p.cmd.Stdout, p.stdout, p.theirs = out, stdout, append(p.theirs, out)
	stderr, errs, err := os.Pipe()
	if err != nil {
		return err
	}
	p.cmd.Stderr, p.stderr, p.theirs = errs, stderr, append(p.theirs, errs)
	return nil
}

func (p *process) closeTheirs() {
	for _, f := range p.theirs {
		f.Close()
	}
}

// hangUp lets go of the command's input and output, as the loss of the connection does. The command goes on.
func (p *process) hangUp() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		f.Close() // a nil *os.File answers with an error
	}
}

// serve connects the command to its channel and closes that after its end and the end of its output. The exit status is
// sent as soon as the command ends: like sshd's, the channel stays open while a child in the background holds the output (G27).
func (p *process) serve(ctx context.Context, channel ssh.Channel) {
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	var input, output sync.WaitGroup
	defer input.Wait()
	defer channel.Close()
	input.Go(func() {
		_, _ = io.Copy(p.stdin, channel)
		p.stdin.Close()
	})
	output.Go(func() { _, _ = io.Copy(channel, p.stdout) })
	output.Go(func() { _, _ = io.Copy(channel.Stderr(), p.stderr) })
	p.report(channel, p.cmd.Wait())
	output.Wait()
	_ = channel.CloseWrite()
}

func (p *process) report(channel ssh.Channel, ended error) {
	var exit *exec.ExitError
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if errors.As(ended, &exit) && status.Signaled() {
		_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal          string
			Core            bool
			Error, Language string
		}{Signal: nameOf(status.Signal()), Core: status.CoreDump()}))
		return
	}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status.ExitStatus())}))
}

// signals are those of RFC 4254, section 6.10.
func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP, "ILL": syscall.SIGILL,
		"INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV,
		"TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	}
}

func nameOf(s syscall.Signal) string {
	for name, signal := range signals() {
		if signal == s {
			return name
		}
	}
	return s.String()
}

// signal passes a signal request on to the command and its children.
func (p *process) signal(payload []byte) bool {
	var m struct{ Name string }
	if ssh.Unmarshal(payload, &m) != nil {
		return false
	}
	signal, known := signals()[m.Name]
	return known && syscall.Kill(-p.cmd.Process.Pid, signal) == nil
}

// join copies between a connection and a channel until both directions have ended.
func join(conn *net.TCPConn, channel ssh.Channel, requests <-chan *ssh.Request) {
	var both sync.WaitGroup
	defer both.Wait()
	defer channel.Close()
	both.Go(func() { ssh.DiscardRequests(requests) })
	both.Go(func() {
		_, _ = io.Copy(conn, channel)
		_ = conn.CloseWrite()
	})
	_, _ = io.Copy(channel, conn)
	_ = channel.CloseWrite()
}

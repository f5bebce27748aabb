package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// openSSH starts a real sshd for a node.
func openSSH(t *testing.T, sshd string, at Site) (stop func() error, err error) {
	dir := filepath.Join(at.Home, "sshd")
	config := fmt.Sprintf("ListenAddress %s:%d\nHostKey %s/key\nAuthorizedKeysFile %[3]s/authorized\nPidFile none\nStrictModes no\nUsePAM no\nSetEnv", at.Address, at.Port, dir)
	for _, variable := range at.Env {
		config += fmt.Sprintf(" %q", variable)
	}
	err = errors.Join(
		os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "key"), at.HostKey, 0o600),
		os.WriteFile(filepath.Join(dir, "authorized"), []byte(at.Authorized), 0o600),
		os.WriteFile(filepath.Join(dir, "config"), []byte(config+"\n"), 0o600),
	)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "config"))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		err := cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	for {
		conn, err := net.Dial("tcp", net.JoinHostPort(at.Address, strconv.Itoa(at.Port)))
		if err == nil {
			return stop, conn.Close()
		}
		select {
		case <-t.Context().Done():
			return nil, errors.Join(err, stop())
		case <-time.After(5 * time.Millisecond): // sshd tells nobody that it listens
		}
	}
}

// A node can be given another SSH server: what it runs finds the same home, and it goes down with its node.
func TestNodesWithRealSSHServers(t *testing.T) {
	t.Parallel()
	sshd := installedTool(t, "/usr/sbin/sshd")
	if os.Getuid() == 0 {
		check(t, os.MkdirAll("/run/sshd", 0o755)) // where sshd separates its privileges
	}
	f := startFleet(t, Options{
		Nodes: 2, User: must(user.Current())(t).Username,
		SSH: func(at Site) (func() error, error) { return openSSH(t, sshd, at) },
	})
	n := f.Nodes()[1]
	client := f.login(t, n)
	if version := string(client.ServerVersion()); !strings.Contains(version, "OpenSSH") {
		t.Errorf("the server is %s", version)
	}
	check(t, f.Publish(Build{Release: "v2"}))
	output, err := must(client.NewSession())(t).CombinedOutput(`cd && cp -R store/v2 releases/ && ln -sfn releases/v2 current && bin/restart-web`)
	check(t, err)
	if _, body, err := f.page(n, "/version"); body != "v2" || err != nil {
		t.Errorf("it serves %q, %v: %s", body, err, output)
	}
	check(t, n.Kill())
	if _, err := net.Dial("tcp", net.JoinHostPort(n.Address, strconv.Itoa(f.sshPort))); err == nil {
		t.Error("its SSH server outlived the node")
	}
}

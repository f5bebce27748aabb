package cage

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What a cage has of this machine: its programs, and what the package manager knows of them. Everything else (homes, /root, /run, /tmp,
// /srv, /mnt, the rest of /var, whatever else there is) is another, empty one.
var layered = []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/opt", "/var/lib/dpkg", "/var/lib/apt", "/var/lib/rpm", "/var/lib/pacman"}

// empty are the directories that every machine has, with their modes.
var empty = map[string]fs.FileMode{
	"/root": 0o700, "/home": 0o755, "/run": 0o755, "/run/lock": 0o1777, "/tmp": 0o1777, "/srv": 0o755, "/mnt": 0o755, "/media": 0o755, "/boot": 0o755, "/sys": 0o555,
	"/proc": 0o555, "/dev": 0o755, "/etc": 0o755, "/var": 0o755, "/var/lib": 0o755, "/var/log": 0o755, "/var/cache": 0o755, "/var/spool": 0o755,
	"/var/tmp": 0o1777, "/var/www": 0o755, "/var/backups": 0o755, Dir: 0o755, Dir + "/bin": 0o755,
}

// stage is where the root is put together, in a mount of our own that covers this machine's /tmp.
const stage = "/tmp"

// A root is the root directory of a cage in the making.
type root struct {
	dir    string // as seen before it becomes /
	mounts []string
	layers int
}

// makeRoot puts a root directory together and makes it that of this process; this machine's is not to be seen any more.
func makeRoot(spec Spec) error {
	binary, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("the windlass binary: %w", err)
	}
	defer binary.Close()
	r := root{dir: stage + "/root"}
	if r.mounts, err = mountPoints(); err != nil {
		return err
	}
	unix.Umask(0)
	for _, step := range []func() error{func() error { return r.begin(cmp.Or(spec.Memory, 10)) }, r.layerAll, r.copyEtc, r.device, r.proc, func() error { return r.furnish(spec, binary) }, r.enter} {
		if err := step(); err != nil {
			return err
		}
	}
	unix.Umask(0o022)
	return nil
}

func mount(what, from, to, kind string, flags uintptr, options string) error {
	if err := unix.Mount(from, to, kind, flags, options); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// begin covers /tmp by memory, so many percent of this machine's, with the new root in it.
func (r *root) begin(percent int) error {
	if err := mount("mounts of its own", "", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount("memory for its files", "windlass", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=0755,size=%d%%", percent)); err != nil {
		return err
	}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return err
	}
	if err := mount("its root", r.dir, r.dir, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	for _, dir := range sortedDirs() {
		if err := errors.Join(os.MkdirAll(r.dir+dir, 0o755), os.Chmod(r.dir+dir, mode(empty[dir]))); err != nil {
			return err
		}
	}
	return os.Symlink("/run", r.dir+"/var/run")
}

func sortedDirs() []string {
	dirs := make([]string, 0, len(empty))
	for dir := range empty {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs
}

// mode is one of Unix as package os has it.
func mode(m fs.FileMode) fs.FileMode {
	if m&0o1000 != 0 {
		return m&0o777 | fs.ModeSticky
	}
	return m & 0o777
}

func (r *root) layerAll() error {
	for _, dir := range layered {
		if err := r.layer(dir); err != nil {
			return err
		}
	}
	return nil
}

// layer has a directory of this machine in the cage, under an overlay. One in which something else is mounted is put together of its
// entries: the kernel takes no such directory from those who did not mount that, as there may be something below.
func (r *root) layer(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil: // not there, or not for us
		return nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(dir)
		if err != nil {
			return err
		}
		return os.Symlink(target, r.dir+dir)
	case !info.IsDir():
		return nil
	}
	if err := os.MkdirAll(r.dir+dir, 0o755); err != nil {
		return err
	}
	if !slices.ContainsFunc(r.mounts, func(at string) bool { return strings.HasPrefix(at, dir+"/") }) {
		return r.overlay(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // not for us
	}
	for _, entry := range entries {
		if err := r.layer(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// overlay takes what is written below dir into memory.
func (r *root) overlay(dir string) error {
	r.layers++
	upper, work := fmt.Sprintf("%s/upper%d", stage, r.layers), fmt.Sprintf("%s/work%d", stage, r.layers)
	if err := errors.Join(copyDirs(dir, upper), os.Mkdir(work, 0o755)); err != nil {
		return err
	}
	options := "lowerdir=" + escapeOption(dir) + ",upperdir=" + upper + ",workdir=" + work + ",userxattr"
	return mount("an overlay of "+dir, "overlay", r.dir+dir, "overlay", unix.MS_NOSUID|unix.MS_NODEV, options)
}

func escapeOption(path string) string {
	return strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace(path)
}

// ownedDepth is how deep below an overlay directories belong to the cage's root.
const ownedDepth = 3

// copyDirs makes the directories of this machine anew in an upper layer. In an overlay the upper one's owner is that of both; without
// one it would be this machine's root, for whom the cage's root may not write.
func copyDirs(dir, upper string) error {
	depth := strings.Count(dir, "/")
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return skipUnreadable(entry)
		}
		if path != dir && strings.Count(path, "/")-depth > ownedDepth {
			return fs.SkipDir
		}
		info, err := entry.Info()
		if err != nil || unix.Access(path, unix.R_OK|unix.X_OK) != nil {
			return fs.SkipDir
		}
		to := upper + strings.TrimPrefix(path, dir)
		return errors.Join(os.Mkdir(to, 0o755), os.Chmod(to, info.Mode().Perm()|info.Mode()&fs.ModeSticky|0o700))
	})
}

func skipUnreadable(entry fs.DirEntry) error {
	if entry != nil && entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// mountPoints are the paths where something is mounted.
func mountPoints() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, unescapeMount(fields[4]))
		}
	}
	return points, nil
}

// unescapeMount reads \040 and the like (proc_pid_mountinfo(5)).
func unescapeMount(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+3 < len(path) {
			if code, err := strconv.ParseUint(path[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// device makes a /dev of what every program may use, and its own terminals.
func (r *root) device() error {
	dev := r.dir + "/dev"
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := os.WriteFile(dev+"/"+name, nil, 0o666); err != nil {
			return err
		}
		if err := mount("/dev/"+name, "/dev/"+name, dev+"/"+name, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(target, dev+"/"+name); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Mkdir(dev+"/pts", 0o755), os.Mkdir(dev+"/shm", 0o755), os.Chmod(dev+"/shm", 0o777|fs.ModeSticky)); err != nil {
		return err
	}
	return mount("terminals", "devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
}

func (r *root) proc() error {
	return mount("processes of its own", "proc", r.dir+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// furnish places what the cage has of windlass. The binary is a copy: nothing in the cage leads to the one outside.
func (r *root) furnish(spec Spec, binary io.Reader) error {
	copied, err := os.OpenFile(r.dir+Binary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(copied, binary); err != nil {
		copied.Close()
		return fmt.Errorf("the windlass binary: %w", err)
	}
	err = errors.Join(copied.Close(), os.WriteFile(r.dir+specFile, spec.Inside, 0o600))
	for name, text := range spec.Programs {
		err = errors.Join(err, os.WriteFile(r.dir+Dir+"/bin/"+name, text, 0o755))
	}
	for path, text := range spec.Files {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(r.dir+path), 0o755), os.WriteFile(r.dir+path, text, 0o644))
	}
	id := make([]byte, 16) // of the machine: nodes with the same one are taken for one
	rand.Read(id)
	for name, text := range map[string]string{"hosts": "127.0.0.1 localhost " + spec.Name, "hostname": spec.Name, "machine-id": hex.EncodeToString(id)} {
		err = errors.Join(err, os.WriteFile(r.dir+"/etc/"+name, []byte(text+"\n"), 0o644))
	}
	return err
}

// enter makes the new root ours and lets go of this machine's (pivot_root(2), which takes the same directory twice).
func (r *root) enter() error {
	if err := os.Chdir(r.dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("its root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("the root outside: %w", err)
	}
	return os.Chdir("/")
}

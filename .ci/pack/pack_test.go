// Package pack_test tries what is distributed: the version it gets, its service, and the package that .ci/deb has made.
package pack_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	deb   = flag.String("deb", "", "the package to try, as .ci/deb names it")
	image = flag.String("image", "", "the container image to try, as .ci/image names it")
)

const root = "../.."

// output runs a program to its end, and gives what it wrote to standard output. A failure is the test's.
func output(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// needs skips a test where a program is not installed.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("left out: %s is not installed", program)
	}
}

// thePackage is the package to try.
func thePackage(t *testing.T) string { return named(t, *deb) }

// named is a file that make try has made.
func named(t *testing.T, file string) string {
	t.Helper()
	if file == "" {
		t.Skip("nothing to try is named: make try makes it and names it")
	}
	path, err := filepath.Abs(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A later build is later for dpkg: before a tag, at it, after it, before and at the next.
func TestLaterBuildsHaveLaterVersions(t *testing.T) {
	t.Parallel()
	needs(t, "dpkg")
	dir := t.TempDir()
	script, err := filepath.Abs(root + "/.ci/version")
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) {
		t.Helper()
		output(t, dir, "git", append([]string{"-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)...)
	}
	git("init", "-q")
	var versions []string
	for _, tags := range []string{"", "", "v1.4.4-rc.1", "", "v1.4.4", "", "", "", "", "", "", "", "", "", "", "v1.10.0-rc.2 v1.9.9 v1.10.0"} {
		git("commit", "-q", "--allow-empty", "-m", "a change")
		for _, tag := range strings.Fields(tags) {
			if strings.Contains(tag, "-rc") { // which git describe prefers, for that
				git("tag", "-a", "-m", "a candidate", tag)
				continue
			}
			git("tag", tag)
		}
		versions = append(versions, output(t, dir, script))
	}
	for i := 1; i < len(versions); i++ {
		output(t, dir, "dpkg", "--compare-versions", versions[i-1], "lt", versions[i])
	}
	for i, want := range map[int]string{0: `0\.0\.0\+1\.g[0-9a-f]{7}`, 2: `1\.4\.4~rc\.1`, 3: `1\.4\.4~rc\.1\+1\.g[0-9a-f]{7}`, 4: `1\.4\.4`, 14: `1\.4\.4\+10\.g[0-9a-f]{7}`, 15: `1\.10\.0`} {
		if !regexp.MustCompile("^" + want + "$").MatchString(versions[i]) {
			t.Errorf("version %d is %s, want %s", i, versions[i], want)
		}
	}

	if err := os.WriteFile(filepath.Join(dir, "unfinished"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	changed := output(t, dir, script)
	if !strings.HasSuffix(changed, ".changed") {
		t.Errorf("a changed tree is %s", changed)
	}
	output(t, dir, "dpkg", "--compare-versions", versions[len(versions)-1], "lt", changed)
	git("add", "unfinished")
	git("commit", "-q", "-m", "finished")
	output(t, dir, "dpkg", "--compare-versions", changed, "lt", output(t, dir, script))
}

// A tag that is no version makes none up.
func TestATagThatIsNoVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script, err := filepath.Abs(root + "/.ci/version")
	if err != nil {
		t.Fatal(err)
	}
	output(t, dir, "git", "init", "-q")
	output(t, dir, "git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "commit.gpgsign=false", "commit", "-q", "--allow-empty", "-m", "a change")
	output(t, dir, "git", "-c", "tag.gpgsign=false", "tag", "v1.4.4_1")
	cmd := exec.Command(script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "tag v1.4.4_1 is no version") {
		t.Errorf("%v: %s", err, out)
	}
}

// The service can do little besides what it is for. The score is systemd's own, in tenths.
func TestTheServiceIsConfined(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-analyze")
	output(t, root+"/.ci/packaging", "systemd-analyze", "security", "--offline=true", "--threshold=15", "windlass.service")
}

func TestLintianFindsNothing(t *testing.T) {
	t.Parallel()
	needs(t, "lintian")
	output(t, ".", "lintian", "--no-cfg", "--allow-root", "--fail-on", "error,warning", thePackage(t))
}

// The same commit makes the same package: no file has the time of the build.
func TestThePackageHasOneTime(t *testing.T) {
	t.Parallel()
	needs(t, "dpkg-deb")
	times := map[string]bool{}
	for line := range strings.SplitSeq(output(t, ".", "dpkg-deb", "-c", thePackage(t)), "\n") {
		fields := strings.Fields(line)
		times[fields[3]+" "+fields[4]] = true
	}
	if len(times) != 1 {
		t.Errorf("its files are of %v", times)
	}
}

// It is installed, upgraded to a later build, removed and purged, with and without a configuration, and leaves nothing.
func TestThePackageComesAndGoes(t *testing.T) {
	t.Parallel()
	newer := thePackage(t)
	dir := t.TempDir()
	apart := []string{"--mount", "--pid", "--fork", "--propagation", "private"}
	probe := exec.Command("unshare", append(apart, "sh", "-c", `mount -t tmpfs probe "$0" && mkdir "$0/upper" "$0/work" && mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0"`, dir)...)
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("left out: it needs root, namespaces and overlays: %v: %s", err, out)
	}
	out, err := exec.Command("unshare", append(apart, "testdata/install.sh", dir, older(t, newer), newer)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "# nothing left") {
		t.Errorf("%v\n%s", err, out)
	}
}

// older is the same package with a version before all.
func older(t *testing.T, newer string) string {
	t.Helper()
	dir := t.TempDir()
	unpacked, packed := filepath.Join(dir, "unpacked"), filepath.Join(dir, "older.deb")
	output(t, ".", "dpkg-deb", "-R", newer, unpacked)
	control := filepath.Join(unpacked, "DEBIAN", "control")
	text, err := os.ReadFile(control)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^Version: .*$`).ReplaceAll(text, []byte("Version: 0.0.0~earlier"))
	if err := os.WriteFile(control, text, 0o644); err != nil {
		t.Fatal(err)
	}
	output(t, ".", "dpkg-deb", "-Zgzip", "--root-owner-group", "-b", unpacked, packed)
	return packed
}

// The image says who runs what, and for nobody but that user.
func TestTheImageSaysHowItIsRun(t *testing.T) {
	t.Parallel()
	path := named(t, *image)
	needs(t, "skopeo")
	var config struct {
		Created time.Time
		Config  struct {
			User            string
			Entrypoint, Cmd []string
			Volumes         map[string]any
			Labels          map[string]string
		}
	}
	if err := json.Unmarshal([]byte(output(t, ".", "skopeo", "inspect", "--config", "oci-archive:"+path)), &config); err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/usr/bin/windlass"}) || !slices.Equal(c.Cmd, []string{"run"}) || c.Volumes["/var/lib/windlass"] == nil {
		t.Errorf("it is run as %+v", c)
	}
	if version := output(t, root, ".ci/version"); c.Labels["org.opencontainers.image.version"] != version {
		t.Errorf("its labels are %q, want the version %s", c.Labels, version)
	}
}

// In the image's own files alone, and as its user, windlass runs, writes, and finds nobody else.
func TestTheImageRuns(t *testing.T) {
	t.Parallel()
	path := named(t, *image)
	needs(t, "skopeo")
	if os.Getuid() != 0 {
		t.Skip("left out: only root can become the image's user in its files")
	}
	files := t.TempDir()
	output(t, ".", "sh", "-euc", `skopeo --insecure-policy copy -q "oci-archive:$0" "dir:$1/copy"
		layer=$(sed -n 's/.*"layers":\[{[^]]*"digest":"sha256:\([0-9a-f]*\)".*/\1/p' "$1/copy/manifest.json")
		mkdir "$1/root" && tar -xpf "$1/copy/$layer" -C "$1/root" && rm -r "$1/copy"`, path, files)
	files = filepath.Join(files, "root")
	run := func(args ...string) string {
		t.Helper()
		return output(t, "/", "chroot", append([]string{"--userspec=65532:65532", files, "/usr/bin/windlass"}, args...)...)
	}
	if said := run("version"); !strings.Contains(said, "windlass "+output(t, root, ".ci/version")+", revision ") {
		t.Errorf("its version is %q", said)
	}
	said := run("init", "/var/lib/windlass/deploy", "--yes", "--name", "web", "--release", "v1", "--tags", "app=web", "--install", "true")
	if !strings.Contains(said, "1 fleet valid") {
		t.Errorf("init says %q", said)
	}
	for _, gone := range []string{"bin", "usr/bin/sh", "lib", "home"} {
		if _, err := os.Lstat(filepath.Join(files, gone)); err == nil {
			t.Errorf("the image has %s", gone)
		}
	}
	if pem, err := os.ReadFile(filepath.Join(files, "etc/ssl/certs/ca-certificates.crt")); err != nil || !strings.Contains(string(pem), "BEGIN CERTIFICATE") {
		t.Errorf("it trusts nobody: %v", err)
	}
}

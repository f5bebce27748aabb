// Command image writes a container image of windlass, without a daemon: an archive in the layout of the Open Container Initiative, with
// one image for each architecture. The same inputs make the same bytes.
//
//	image -version 1.4.4 -revision HASH -time SECONDS -out FILE.tar amd64=BINARY arm64=BINARY
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// nobody is who windlass is in the image: no user of the machine, as distroless images have it.
const nobody = 65532

const stateDir = "/var/lib/windlass"

// A release is what the image is of.
type release struct {
	version, revision string
	time              time.Time
	authorities       string // PEM file of the certificate authorities that it trusts
}

func main() {
	var r release
	seconds := flag.Int64("time", 0, "the `time` of all files and of the image, in seconds since 1970")
	flag.StringVar(&r.version, "version", "", "its `version`")
	flag.StringVar(&r.revision, "revision", "", "the `commit` it was built from")
	flag.StringVar(&r.authorities, "ca", "/etc/ssl/certs/ca-certificates.crt", "PEM `file` of the authorities it trusts")
	out := flag.String("out", "", "`file` to write")
	flag.Parse()
	r.time = time.Unix(*seconds, 0).UTC()
	if err := r.write(*out, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

// write writes the archive: an index by the name of the version, and what it leads to.
func (r release) write(out string, binaries []string) (err error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, given := range binaries {
		arch, binary, _ := strings.Cut(given, "=")
		image, err := r.image(arch, binary)
		if err != nil {
			return fmt.Errorf("cannot make the image for %s: %w", arch, err)
		}
		platform := &v1.Platform{OS: "linux", Architecture: arch}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	tag := strings.NewReplacer("+", "-", "~", "-").Replace(r.version) // registries know neither
	named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})
	if err := at.AppendIndex(index, named); err != nil {
		return err
	}
	written, err := at.ImageIndex()
	if err != nil {
		return err
	}
	if err := validate.Index(written); err != nil {
		return err
	}
	return r.archive(dir, out)
}

// image is that of one architecture: one layer, and how it is run.
func (r release) image(arch, binary string) (v1.Image, error) {
	files, err := r.files(binary)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "windlass " + r.version}})
	if err != nil {
		return nil, err
	}
	config, err := partial.ConfigFile(image)
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created, config.Config = "linux", arch, v1.Time{Time: r.time}, r.config()
	return mutate.ConfigFile(image, config)
}

func (r release) config() v1.Config {
	return v1.Config{
		Entrypoint: []string{"/usr/bin/windlass"},
		Cmd:        []string{"run"},
		Env:        []string{"PATH=/usr/bin", "WINDLASS_STATE_DIR=" + stateDir},
		User:       fmt.Sprintf("%d:%[1]d", nobody),
		WorkingDir: "/",
		Volumes:    map[string]struct{}{stateDir: {}},
		ExposedPorts: map[string]struct{}{
			"9190/tcp": {},
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "windlass",
			"org.opencontainers.image.description": "agent that rolls releases from git over servers behind load balancers",
			"org.opencontainers.image.version":     r.version,
			"org.opencontainers.image.revision":    r.revision,
			"org.opencontainers.image.licenses":    "Apache-2.0",
		},
	}
}

// files is the layer's archive: the program, who it is, whom it trusts, and where it may write. There is no shell and nothing else.
func (r release) files(binary string) ([]byte, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	authorities, err := os.ReadFile(r.authorities)
	if err != nil {
		return nil, fmt.Errorf("%w; install ca-certificates, or name a file with -ca", err)
	}
	passwd := fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nwindlass:x:%d:%[1]d:windlass:%s:/sbin/nologin\n", nobody, stateDir)
	group := fmt.Sprintf("root:x:0:\nwindlass:x:%d:\n", nobody)
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, f := range []struct {
		name  string // a directory ends in a slash
		mode  int64
		owner int
		text  []byte
	}{
		{"etc/", 0o755, 0, nil}, {"etc/group", 0o644, 0, []byte(group)}, {"etc/passwd", 0o644, 0, []byte(passwd)},
		{"etc/ssl/", 0o755, 0, nil}, {"etc/ssl/certs/", 0o755, 0, nil}, {"etc/ssl/certs/ca-certificates.crt", 0o644, 0, authorities},
		{"etc/windlass/", 0o755, 0, nil},
		{"tmp/", 0o1777, 0, nil},
		{"usr/", 0o755, 0, nil}, {"usr/bin/", 0o755, 0, nil}, {"usr/bin/windlass", 0o755, 0, program},
		{"var/", 0o755, 0, nil}, {"var/lib/", 0o755, 0, nil}, {"var/lib/windlass/", 0o700, nobody, nil},
	} {
		header := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.text)), ModTime: r.time, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return buffer.Bytes(), err
}

// archive writes the layout in dir to a file, by the order of names and at one time.
func (r release) archive(dir, out string) (err error) {
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := tar.NewWriter(file)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(text)), ModTime: r.time, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	return errors.Join(err, w.Close())
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// A source is a package with its types.
type source struct {
	name   string // its path below the module
	dir    string
	files  *token.FileSet
	parsed []*ast.File
	text   map[*ast.File][]byte
	info   *types.Info
	embeds []string // file names
	clause string   // the package's own name
}

type listed struct {
	ImportPath, Name, Dir, Export string
	GoFiles, EmbedFiles           []string
	DepOnly                       bool
}

// load parses and checks a package of the module in the current directory.
func load(ctx context.Context, name string) (*source, error) {
	root, exports, err := list(ctx, "./"+name)
	if err != nil {
		return nil, err
	}
	s := &source{name: name, dir: root.Dir, clause: root.Name, embeds: root.EmbedFiles, files: token.NewFileSet(), text: map[*ast.File][]byte{}}
	for _, file := range root.GoFiles {
		if err := s.parse(filepath.Join(root.Dir, file)); err != nil {
			return nil, err
		}
	}
	s.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(s.files, "gc", lookup)}
	_, err = config.Check(root.ImportPath, s.files, s.parsed, s.info)
	return s, err
}

func (s *source) parse(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(s.files, path, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s.parsed = append(s.parsed, f)
	s.text[f] = text
	return nil
}

// list asks go for a package, and where the compiled form of all that it imports is.
func list(ctx context.Context, path string) (listed, map[string]string, error) {
	out, err := output(exec.CommandContext(ctx, "go", "list", "-export", "-deps", "-json=ImportPath,Name,Dir,Export,GoFiles,EmbedFiles,DepOnly", path))
	if err != nil {
		return listed{}, nil, err
	}
	var root listed
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return root, exports, nil
		} else if err != nil {
			return listed{}, nil, err
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			root = p
		}
	}
}

// output is what a command prints; what it complains of is in the error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", cmd, err, complaint.Bytes())
	}
	return out, err
}

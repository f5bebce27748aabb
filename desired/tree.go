package desired

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Dir is the working tree at path, for Load. Nothing outside of it can be read through it, whatever links it holds. Close
// it when the tree is loaded.
func Dir(path string) (fs.FS, io.Closer, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open deploy repo %s: %w", path, err)
	}
	return root.FS(), root, nil
}

// A problem is what is wrong with a file of the repo, in words that go on from its name: "is a directory". Unlike other
// errors of reading, it is the repo's own and will be so at every try.
type problem string

func (p problem) Error() string { return string(p) }

const notThere = problem("does not exist")

// readFile reads a regular file of at most limit bytes. Every directory on its way must be one: a symbolic link anywhere
// is refused (G42). An error that is no problem is an outage of the store.
func readFile(tree fs.FS, name string, limit int64) ([]byte, error) {
	if err := walkTo(tree, name, false); err != nil {
		return nil, err
	}
	file, err := tree.Open(name)
	if err != nil {
		return nil, missingOr(err)
	}
	defer file.Close() // only read from
	info, err := file.Stat()
	if err != nil {
		return nil, missingOr(err)
	}
	if info.Size() > limit {
		return nil, tooLarge(info.Size(), limit)
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, tooLarge(int64(len(content)), limit)
	}
	return content, nil
}

func tooLarge(size, limit int64) problem {
	return problem(fmt.Sprintf("has %d bytes; at most %d are allowed", size, limit))
}

func missingOr(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return notThere
	}
	return err
}

// walkTo looks at each part of the way to name, which is to be a directory or a regular file as wanted.
func walkTo(tree fs.FS, name string, wantDir bool) error {
	parts := strings.Split(name, "/")
	for i := range parts {
		at, last := path.Join(parts[:i+1]...), i == len(parts)-1
		info, err := fs.Lstat(tree, at)
		if err != nil {
			return missingOr(err)
		}
		wrong := wrongKind(info.Mode(), wantDir || !last)
		switch {
		case wrong == "":
		case last:
			return wrong
		default:
			return problem(fmt.Sprintf("cannot be reached: %s %s", at, wrong))
		}
	}
	return nil
}

// wrongKind is why mode is not a directory's or, as asked for, a regular file's.
func wrongKind(mode fs.FileMode, wantDir bool) problem {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "is a symbolic link, which windlass does not follow; put the file itself there"
	case mode&fs.ModeIrregular != 0:
		return "is a submodule, which windlass does not fetch; put the files themselves there"
	case wantDir && !mode.IsDir():
		return "is not a directory"
	case !wantDir && mode.IsDir():
		return "is a directory, not a file"
	case !wantDir && !mode.IsRegular():
		return "is not a regular file"
	}
	return ""
}

// isSubmodule reports whether a directory of a working tree is a repo of its own.
func isSubmodule(tree fs.FS, dir string) bool {
	_, err := fs.Lstat(tree, path.Join(dir, ".git"))
	return err == nil
}

// repoPath is the path below the repo's root that reference means when it stands in a file of directory dir. The error is
// a problem.
func repoPath(dir, reference string) (string, error) {
	joined := path.Join(dir, reference)
	switch {
	case strings.HasPrefix(reference, "/"):
		return "", problem("is an absolute path; write one relative to " + dirWords(dir))
	case !plainName(reference):
		return "", problem("is not a path in a repo: it holds a backslash, a control character or bytes that are no text")
	case joined == ".." || strings.HasPrefix(joined, "../"):
		return "", problem("leaves the repo; everything a fleet needs lies in its repo")
	case joined == "." || strings.HasSuffix(reference, "/"):
		return "", problem("is a directory, not a file")
	case joined == ".git" || strings.HasPrefix(joined, ".git/"):
		return "", problem("is git's own, no file of the repo")
	}
	return joined, nil
}

// plainName reports whether name is the same file in every store: some read a backslash as a slash, and some no bytes that are no text.
func plainName(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsRune(name, '\\') && !strings.ContainsFunc(name, unicode.IsControl)
}

func dirWords(dir string) string {
	if dir == "." {
		return "the repo's root"
	}
	return dir
}

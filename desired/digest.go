package desired

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strconv"
)

// DigestAlgorithm is the newest version of Digest.
const DigestAlgorithm = 1

// Digest names what a node that runs the fleet was given, such as d1-5a4c…: release, vars, files (bytes before rendering,
// template, mode, owner, to) and each step's run. It says nothing of defaults, names, time-outs, health, rollout, ssh or
// load balancers, so that retuning those, or upgrading windlass, rolls nothing. An algorithm this windlass does not know
// gives "".
//
// Algorithm 1 is SHA-256, cut to 128 bits, over a sequence of parts, each preceded by a letter for its kind and its length.
func (f *Fleet) Digest(algorithm int) string {
	if algorithm != 1 {
		return ""
	}
	d := digester{sha256.New()}
	d.text("release", f.Release)
	d.text("vars", "")
	d.value(f.Configure.Vars)
	files := slices.SortedFunc(slices.Values(f.Configure.Files), func(a, b File) int { return cmp.Compare(a.To, b.To) })
	d.list('f', len(files))
	for _, file := range files {
		d.text("to", file.To)
		d.text("owner", file.Owner)
		d.text("mode", canonicalMode(file.Mode))
		d.text("template", strconv.FormatBool(file.Template))
		d.part('s', file.Content)
	}
	d.steps("prepare", f.Configure.Prepare)
	d.steps("activate", f.Configure.Activate)
	return "d1-" + hex.EncodeToString(d.Sum(nil)[:16])
}

// canonicalMode makes 644 and 0644 one.
func canonicalMode(mode string) string {
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return mode
	}
	return fmt.Sprintf("%04o", bits)
}

type digester struct{ hash.Hash }

func (d digester) part(kind byte, bytes []byte) {
	d.list(kind, len(bytes))
	d.Write(bytes)
}

func (d digester) list(kind byte, length int) {
	d.Write(binary.BigEndian.AppendUint64([]byte{kind}, uint64(length)))
}

func (d digester) text(name, s string) {
	d.part('k', []byte(name))
	d.part('s', []byte(s))
}

func (d digester) steps(name string, steps []Step) {
	d.list('l', len(steps))
	for _, step := range steps {
		d.text(name, step.Run)
	}
}

// value writes v so that no two values look alike; numbers that print alike are alike.
func (d digester) value(v any) {
	switch v := v.(type) {
	case map[string]any:
		d.list('m', len(v))
		for _, key := range sortedKeys(v) {
			d.part('k', []byte(key))
			d.value(v[key])
		}
	case []any:
		d.list('l', len(v))
		for _, item := range v {
			d.value(item)
		}
	case string:
		d.part('s', []byte(v))
	case float64:
		d.part('n', strconv.AppendFloat(nil, v, 'f', -1, 64))
	case int, int64, json.Number:
		d.part('n', []byte(fmt.Sprint(v)))
	default:
		d.part('o', []byte(fmt.Sprint(v)))
	}
}

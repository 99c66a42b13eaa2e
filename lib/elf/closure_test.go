package elf

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func names(paths []Path) []string {
	var out []string
	for _, p := range paths {
		s := p.Name
		if p.Link != "" {
			s += " -> " + p.Link
		}
		out = append(out, s)
	}
	return out
}

const ld = "/lib64/ld-linux-x86-64.so.2"

var cases = []struct {
	name     string
	files    map[string]string
	programs []string
	options  Options
	want     []string
	err      string
}{
	{
		name:     "static",
		files:    map[string]string{"bin/a": bin(spec{})},
		programs: []string{"a"},
		want:     []string{"/bin/a"},
	},
	{
		name: "transitive, merged usr, library without execute bit",
		files: map[string]string{
			"bin": "->usr/bin", "lib": "->usr/lib", "lib64": "->/usr/lib64",
			"usr/bin/a":                            bin(spec{interp: ld, needed: []string{"libb.so.1"}}),
			"usr/lib64/ld-linux-x86-64.so.2":       bin(spec{soname: "ld-linux-x86-64.so.2"}),
			"usr/lib/x86_64-linux-gnu/libb.so.1":   "->libb.so.1.2",
			"usr/lib/x86_64-linux-gnu/libb.so.1.2": bin(spec{soname: "libb.so.1", needed: []string{"libc.so.6", "ld-linux-x86-64.so.2"}}),
			"usr/lib/x86_64-linux-gnu/libc.so.6":   bin(spec{soname: "libc.so.6"}),
		},
		programs: []string{"/bin/a"},
		want: []string{"/bin -> usr/bin", "/lib -> usr/lib", "/lib64 -> /usr/lib64", "/usr/bin/a",
			"/usr/lib/x86_64-linux-gnu/libb.so.1 -> libb.so.1.2", "/usr/lib/x86_64-linux-gnu/libb.so.1.2",
			"/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib64/ld-linux-x86-64.so.2"},
	},
	{
		name: "runpath with origin is not inherited, rpath is",
		files: map[string]string{
			"opt/app/bin/a":         bin(spec{interp: "/l/ld.so", rpath: "$ORIGIN/../lib", needed: []string{"libx.so"}}),
			"l/ld.so":               bin(spec{}),
			"opt/app/lib/libx.so":   bin(spec{needed: []string{"liby.so"}}),
			"opt/app/lib/liby.so":   bin(spec{runpath: "${ORIGIN}/z", needed: []string{"libz.so"}}),
			"opt/app/lib/libz.so":   bin(spec{rpath: "never"}),
			"opt/app/lib/z/libz.so": bin(spec{}),
		},
		programs: []string{"/opt/app/bin/a"},
		want:     []string{"/l/ld.so", "/opt/app/bin/a", "/opt/app/lib/libx.so", "/opt/app/lib/liby.so", "/opt/app/lib/z/libz.so"},
	},
	{
		name: "origin through a linked directory",
		files: map[string]string{
			"app/bin":         "->../real/deep/bin",
			"real/deep/bin/a": bin(spec{interp: "/l/ld.so", runpath: "$ORIGIN/../lib", needed: []string{"libx.so"}}),
			"l/ld.so":         bin(spec{}), "real/deep/lib/libx.so": bin(spec{}),
		},
		programs: []string{"/app/bin/a"},
		want:     []string{"/app/bin -> ../real/deep/bin", "/l/ld.so", "/real/deep/bin/a", "/real/deep/lib/libx.so"},
	},
	{
		name: "ld.so.conf with include and comments",
		files: map[string]string{
			"etc/ld.so.conf":          "include ld.so.conf.d/*.conf # more\nhwcap 0 nosegneg\n/c\n",
			"etc/ld.so.conf.d/1.conf": "# none\n/a:/b\n", "etc/ld.so.conf.d/2.txt": "/never\n",
			"etc/ld.so.conf.d/3.conf": "include /etc/ld.so.conf\n",
			"p":                       bin(spec{interp: "/l/ld.so", needed: []string{"libb.so", "libc.so"}}), "l/ld.so": bin(spec{}),
			"b/libb.so": bin(spec{}), "c/libc.so": bin(spec{}), "lib/libb.so": bin(spec{}),
		},
		programs: []string{"/p"},
		want:     []string{"/b/libb.so", "/c/libc.so", "/l/ld.so", "/p"},
	},
	{
		name: "$LIB and $PLATFORM",
		files: map[string]string{
			"p": bin(spec{interp: "/l/ld.so", runpath: "/o/$LIB/$PLATFORM", needed: []string{"libb.so"}}), "l/ld.so": bin(spec{}),
			"o/lib64/x86_64/libb.so": bin(spec{}),
		},
		programs: []string{"/p"},
		want:     []string{"/l/ld.so", "/o/lib64/x86_64/libb.so", "/p"},
	},
	{
		name: "musl path file and its built-in libc",
		files: map[string]string{
			"bin/p":                     bin(spec{interp: "/lib/ld-musl-x86_64.so.1", needed: []string{"libz.so.1", "libc.musl-x86_64.so.1", "libpthread.so.0"}}),
			"lib/ld-musl-x86_64.so.1":   bin(spec{}),
			"lib/libc.musl-x86_64.so.1": "->ld-musl-x86_64.so.1",
			"etc/ld-musl-x86_64.path":   "/lib\n/opt/z\n",
			"opt/z/libz.so.1":           bin(spec{}),
			"usr/lib/libz.so.1":         bin(spec{}),
		},
		programs: []string{"p"},
		want:     []string{"/bin/p", "/lib/ld-musl-x86_64.so.1", "/lib/libc.musl-x86_64.so.1 -> ld-musl-x86_64.so.1", "/opt/z/libz.so.1"},
	},
	{
		name: "other architecture is passed over",
		files: map[string]string{
			"p": bin(spec{interp: "/l/ld.so", runpath: "/32:/be:/64", needed: []string{"libb.so"}}), "l/ld.so": bin(spec{}),
			"32/libb.so": bin(spec{class: elf.ELFCLASS32, machine: elf.EM_386}),
			"be/libb.so": bin(spec{order: binary.BigEndian}), "64/libb.so": bin(spec{}),
		},
		programs: []string{"/p"},
		want:     []string{"/64/libb.so", "/l/ld.so", "/p"},
	},
	{
		name: "32-bit big-endian program",
		files: map[string]string{
			"p":                 bin(spec{class: elf.ELFCLASS32, order: binary.BigEndian, machine: elf.EM_PPC, interp: "/lib/ld.so.1", needed: []string{"libc.so.6"}}),
			"lib/ld.so.1":       bin(spec{class: elf.ELFCLASS32, order: binary.BigEndian, machine: elf.EM_PPC}),
			"usr/lib/libc.so.6": bin(spec{class: elf.ELFCLASS32, order: binary.BigEndian, machine: elf.EM_PPC}),
		},
		programs: []string{"/p"},
		want:     []string{"/lib/ld.so.1", "/p", "/usr/lib/libc.so.6"},
	},
	{
		name: "script behind env, links of every step",
		files: map[string]string{
			"usr/bin/s": "#!/usr/bin/env -S A=1 tool -x\n", "usr/bin/env": "->../lib/env", "usr/lib/env": bin(spec{}),
			"usr/local/bin/tool": "#! /bin/sh -e\n", "bin/sh": "->dash", "bin/dash": bin(spec{}),
		},
		programs: []string{"s"},
		want:     []string{"/bin/dash", "/bin/sh -> dash", "/usr/bin/env -> ../lib/env", "/usr/bin/s", "/usr/lib/env", "/usr/local/bin/tool"},
	},
	{
		name: "library path, extra libraries, needed name with a slash",
		files: map[string]string{
			"p": bin(spec{interp: "/l/ld.so", needed: []string{"/x/liba.so", "libb.so"}}), "l/ld.so": bin(spec{}),
			"x/liba.so": bin(spec{}), "y/libb.so": bin(spec{}), "lib/libb.so": bin(spec{}), "lib/libnss_x.so.2": bin(spec{}),
		},
		programs: []string{"/p"},
		options:  Options{LibraryPath: []string{"/y"}, Libraries: []string{"libnss_x.so.2"}},
		want:     []string{"/l/ld.so", "/lib/libnss_x.so.2", "/p", "/x/liba.so", "/y/libb.so"},
	},
	{
		name: "absolute and upward links stay in the root",
		files: map[string]string{
			"p": "->../../../../q", "q": "->/bin/a", "bin/a": bin(spec{}),
		},
		programs: []string{"/p"},
		want:     []string{"/bin/a", "/p -> ../../../../q", "/q -> /bin/a"},
	},
	{
		name: "all that is missing",
		files: map[string]string{
			"p": bin(spec{interp: "/l/ld.so", needed: []string{"liba.so", "libb.so", "libc.so"}}), "l/ld.so": bin(spec{}),
			"lib/libb.so": bin(spec{needed: []string{"libd.so"}}), "lib/libc.so": bin(spec{machine: elf.EM_AARCH64}),
		},
		programs: []string{"/p"},
		err: "/p needs liba.so: not found; /p needs libc.so: /lib/libc.so is 64-bit EM_AARCH64, the program 64-bit EM_X86_64; " +
			"/lib/libb.so needs libd.so: not found",
	},
	{
		name:     "interpreter missing",
		files:    map[string]string{"p": bin(spec{interp: ld})},
		programs: []string{"/p"},
		err:      "/p needs " + ld + ": no such file or directory",
	},
	{
		name:     "interpreter of another class",
		files:    map[string]string{"p": bin(spec{interp: "/ld.so"}), "ld.so": bin(spec{class: elf.ELFCLASS32})},
		programs: []string{"/p"},
		err:      "/p needs /ld.so: it is 32-bit EM_X86_64, the program 64-bit EM_X86_64",
	},
	{
		name:     "script interpreter missing",
		files:    map[string]string{"p": "#!/bin/zsh\n"},
		programs: []string{"/p"},
		err:      "/p needs /bin/zsh: no such file or directory",
	},
	{name: "data", files: map[string]string{"p": "text"}, programs: []string{"/p"}, err: "closure of /p: neither an ELF file nor a script"},
	{name: "link loop", files: map[string]string{"p": "->p"}, programs: []string{"/p"}, err: "closure of /p: resolve /p: too many levels of symbolic links"},
	{name: "not in the path", files: map[string]string{"opt/p": "x"}, programs: []string{"p"}, options: Options{Path: []string{"/bin"}}, err: "closure of p: not found in /bin"},
	{name: "relative", files: map[string]string{"opt/p": "x"}, programs: []string{"opt/p"}, err: "closure of opt/p: a path must begin with /"},
	{name: "directory", files: map[string]string{"opt/p": "x"}, programs: []string{"/opt"}, err: "closure of /opt: /opt is not a regular file"},
	{name: "script that is its own interpreter", files: map[string]string{"p": "#!/p\n"}, programs: []string{"/p"}, err: "/p needs /p: too many script interpreters"},
}

func TestClosure(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Closure(makeRoot(t, c.files), c.programs, c.options)
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(c.err, message); diff != "" {
				t.Fatalf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, names(got)); diff != "" {
				t.Errorf("closure (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClosureAgreesWithLoader compares with what the host's own loader says.
func TestClosureAgreesWithLoader(t *testing.T) {
	ldd, err := exec.LookPath("ldd")
	if err != nil {
		t.Skip("ldd is not installed")
	}
	absolute := regexp.MustCompile(`(?m)(/\S+) \(0x`)
	for _, name := range []string{"sh", "ls", "bash", "git", "curl", "tar", "python3", "ssh", "gpg"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(ldd, path).Output()
		if err != nil {
			continue // static
		}
		want := map[string]bool{}
		for _, m := range absolute.FindAllSubmatch(out, -1) {
			if strings.Contains(string(m[1]), "glibc-hwcaps") {
				t.Skip("the host has libraries for its processor alone")
			}
			want[real(t, string(m[1]))] = true
		}
		paths, err := Closure("/", []string{path}, Options{})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got := map[string]bool{}
		for _, p := range paths {
			if p.Kind == Library || p.Kind == Interpreter {
				got[p.Name] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: ldd and closure differ (-ldd +closure):\n%s", path, diff)
		}
	}
}

func real(t *testing.T, name string) string {
	t.Helper()
	r, err := filepath.EvalSymlinks(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestClosureEnds gives it roots whose search would take for ever.
func TestClosureEnds(t *testing.T) {
	dirs := strings.Repeat("/a:", 1300)
	needed := []string{}
	for i := range 1500 {
		needed = append(needed, "l"+strconv.Itoa(i))
	}
	roots := map[string]map[string]string{
		"links to itself": {"x": "->.", "y": "->.", "etc/ld.so.conf": "include " + strings.Repeat("/*", 60) + "\n"},
		"many places":     {"etc/ld.so.conf": dirs},
	}
	for name, files := range roots {
		files["ld.so"] = bin(spec{})
		files["p"] = bin(spec{interp: "/ld.so", needed: needed})
		start := time.Now()
		if _, err := Closure(makeRoot(t, files), []string{"/p"}, Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
}

// TestClosureStaysInRoot puts what a program needs outside the root only.
func TestClosureStaysInRoot(t *testing.T) {
	outside := makeRoot(t, map[string]string{"lib/liba.so": bin(spec{}), "ld.so": bin(spec{})})
	root := makeRoot(t, map[string]string{
		"p":     bin(spec{interp: "/ld.so", runpath: "/up:" + outside + "/lib", needed: []string{"liba.so"}}),
		"ld.so": bin(spec{}), "up": "->" + outside + "/lib",
	})
	_, err := Closure(root, []string{"/p"}, Options{})
	if _, ok := errors.AsType[MissingError](err); !ok {
		t.Fatalf("got %v, want the library to be missing", err)
	}
}

func FuzzObject(f *testing.F) {
	f.Add(bin(spec{interp: ld, needed: []string{"a", "b"}, rpath: "x", runpath: "y", soname: "z"}))
	f.Add(bin(spec{class: elf.ELFCLASS32, order: binary.BigEndian, needed: []string{"a"}}))
	f.Add("#!/bin/sh\n")
	f.Fuzz(func(t *testing.T, body string) {
		o, err := readObject(strings.NewReader(body))
		if err != nil {
			return
		}
		if len(o.needed) > maxNeeded || len(o.interp) > maxString {
			t.Errorf("beyond the limits: %d needed, interpreter of %d bytes", len(o.needed), len(o.interp))
		}
	})
}

func FuzzClosure(f *testing.F) {
	f.Add("$ORIGIN/../lib:$LIB", "liba.so", "include *.conf\n/x", "../../p")
	f.Fuzz(func(t *testing.T, runpath, needed, conf, target string) {
		if len(runpath)+len(needed) > 900 || strings.Contains(target, "\x00") || target == "" {
			return
		}
		root := makeRoot(t, map[string]string{
			"p": bin(spec{interp: "/ld.so", runpath: runpath, needed: []string{needed, "lib"}}), "ld.so": bin(spec{}),
			"etc/ld.so.conf": conf, "lib/lib": bin(spec{needed: []string{needed}}),
		})
		if os.Symlink(target, filepath.Join(root, "x")) != nil {
			return
		}
		paths, err := Closure(root, []string{"/p"}, Options{})
		if err == nil && !slices.IsSortedFunc(paths, func(a, b Path) int { return strings.Compare(a.Name, b.Name) }) {
			t.Error("not sorted")
		}
		for _, p := range paths {
			if _, err := os.Lstat(filepath.Join(root, p.Name)); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is not in the root", p.Name)
			}
		}
	})
}

package elf

import (
	"debug/elf"
	"path"
	"strings"
)

const (
	maxConfig   = 1 << 20
	maxIncludes = 1000
)

// platforms names what $PLATFORM and the multiarch directory are for a machine.
var platforms = map[elf.Machine]struct{ platform, triplet string }{
	elf.EM_X86_64:    {"x86_64", "x86_64-linux-gnu"},
	elf.EM_386:       {"i686", "i386-linux-gnu"},
	elf.EM_AARCH64:   {"aarch64", "aarch64-linux-gnu"},
	elf.EM_ARM:       {"v7l", "arm-linux-gnueabihf"},
	elf.EM_RISCV:     {"riscv64", "riscv64-linux-gnu"},
	elf.EM_PPC64:     {"powerpc64le", "powerpc64le-linux-gnu"},
	elf.EM_S390:      {"s390x", "s390x-linux-gnu"},
	elf.EM_LOONGARCH: {"loongarch64", "loongarch64-linux-gnu"},
	elf.EM_MIPS:      {"mips", "mips64el-linux-gnuabi64"},
}

// libNames are the values $LIB has had for an ABI, likeliest first: a
// distribution chooses one when it builds its loader.
func libNames(a abi) []string {
	var names []string
	if p, ok := platforms[a.Machine]; ok {
		triplet := p.triplet
		if a.Machine == elf.EM_X86_64 && a.Class == elf.ELFCLASS32 {
			triplet = "x86_64-linux-gnux32"
		}
		names = append(names, triplet)
	}
	for i := range names {
		names[i] = "lib/" + names[i]
	}
	switch {
	case a.Machine == elf.EM_X86_64 && a.Class == elf.ELFCLASS32:
		names = append(names, "libx32")
	case a.Class == elf.ELFCLASS64:
		names = append(names, "lib64")
	default:
		names = append(names, "lib32")
	}
	return append(names, "lib")
}

// expand replaces the loader's variables in one search directory or name. $LIB
// gives several candidates; a relative result gives none, because it would
// depend on the directory the program is started in.
func expand(s, origin string, a abi) []string {
	s = replaceVar(s, "ORIGIN", origin)
	s = replaceVar(s, "PLATFORM", platforms[a.Machine].platform)
	out := []string{s}
	if strings.Contains(s, "$LIB") || strings.Contains(s, "${LIB}") {
		out = nil
		for _, lib := range libNames(a) {
			out = append(out, replaceVar(s, "LIB", lib))
		}
	}
	if !strings.HasPrefix(out[0], "/") {
		return nil
	}
	return out
}

// replaceVar replaces $NAME and ${NAME}; $NAME only where the name ends.
func replaceVar(s, name, value string) string {
	s = strings.ReplaceAll(s, "${"+name+"}", value)
	var b strings.Builder
	for {
		i := strings.Index(s, "$"+name)
		if i < 0 {
			return b.String() + s
		}
		end := i + 1 + len(name)
		b.WriteString(s[:i])
		if end < len(s) && isNameByte(s[end]) {
			b.WriteString(s[i:end])
		} else {
			b.WriteString(value)
		}
		s = s[end:]
	}
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// expandList expands a colon-separated DT_RPATH or DT_RUNPATH.
func expandList(list, origin string, a abi) []string {
	if list == "" {
		return nil
	}
	var dirs []string
	for dir := range strings.SplitSeq(list, ":") {
		dirs = append(dirs, expand(dir, origin, a)...)
	}
	return dirs
}

// isMusl says whether an interpreter is musl's loader, which has rules of its own.
func isMusl(interp string) bool { return strings.HasPrefix(path.Base(interp), "ld-musl-") }

// muslBuiltin says whether musl's loader answers a needed name itself.
func muslBuiltin(name string) bool {
	for _, own := range []string{"c", "pthread", "rt", "m", "dl", "util", "xnet"} {
		if strings.HasPrefix(name, "lib"+own+".so") {
			return true
		}
	}
	return false
}

// systemDirs are the directories searched for every object of a program.
func (t *tree) systemDirs(interp string, a abi) ([]string, error) {
	if isMusl(interp) {
		return t.muslDirs(interp)
	}
	var dirs []string
	left := maxIncludes
	if err := t.ldConf("/etc/ld.so.conf", &dirs, &left); err != nil {
		return nil, err
	}
	for _, lib := range libNames(a) {
		dirs = append(dirs, "/"+lib, "/usr/"+lib)
	}
	return append(dirs, "/usr/local/lib"), nil
}

// muslDirs reads /etc/ld-musl-ARCH.path, which replaces the default when it exists.
func (t *tree) muslDirs(interp string) ([]string, error) {
	arch := strings.TrimSuffix(strings.TrimPrefix(path.Base(interp), "ld-musl-"), path.Ext(interp))
	arch, _, _ = strings.Cut(arch, ".")
	text, err := t.text("/etc/ld-musl-" + arch + ".path")
	if err != nil {
		return nil, err
	}
	dirs := absolute(strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == '\n' }))
	if len(dirs) == 0 {
		dirs = []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	return dirs, nil
}

// ldConf appends the directories of an ld.so.conf file and of what it includes.
func (t *tree) ldConf(name string, dirs *[]string, left *int) error {
	if *left--; *left < 0 {
		return nil // a file that includes itself; ldconfig stops too
	}
	text, err := t.text(name)
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n:,", r) })
		switch {
		case len(words) == 0 || words[0] == "hwcap":
		case words[0] == "include":
			for _, pattern := range words[1:] {
				if err := t.include(path.Dir(name), pattern, dirs, left); err != nil {
					return err
				}
			}
		default:
			*dirs = append(*dirs, absolute(words)...)
		}
	}
	return nil
}

func (t *tree) include(dir, pattern string, dirs *[]string, left *int) error {
	if !strings.HasPrefix(pattern, "/") {
		pattern = path.Join(dir, pattern)
	}
	names, err := t.glob(pattern)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := t.ldConf(name, dirs, left); err != nil {
			return err
		}
	}
	return nil
}

func absolute(names []string) []string {
	var out []string
	for _, n := range names {
		n, _, _ = strings.Cut(n, "=")
		if strings.HasPrefix(n, "/") {
			out = append(out, n)
		}
	}
	return out
}

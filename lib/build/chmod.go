package build

import (
	"fmt"
	"strconv"
	"strings"
)

// modeChange is what --chmod does to the mode of a file or directory.
type modeChange func(mode uint32, isDir bool) uint32

// parseChmod reads an octal mode or chmod(1)'s symbolic one, clauses separated
// by commas. As the umask plays no part, a clause without "ugoa" means "a".
func parseChmod(s string) (modeChange, error) {
	if s == "" {
		return nil, nil
	}
	if isOctal(s) {
		n, err := strconv.ParseUint(s, 8, 32)
		if err != nil || n > 0o7777 {
			return nil, fmt.Errorf("--chmod=%s: the mode is larger than 7777", s)
		}
		return func(uint32, bool) uint32 { return uint32(n) }, nil
	}
	var clauses []modeChange
	for text := range strings.SplitSeq(s, ",") {
		c, err := parseClause(text)
		if err != nil {
			return nil, fmt.Errorf("--chmod=%s: %w", s, err)
		}
		clauses = append(clauses, c)
	}
	return func(mode uint32, isDir bool) uint32 {
		for _, c := range clauses {
			mode = c(mode, isDir)
		}
		return mode
	}, nil
}

func isOctal(chmod string) bool { return chmod != "" && strings.Trim(chmod, "01234567") == "" }

// parseClause reads WHO OP PERMS [OP PERMS]...
func parseClause(text string) (modeChange, error) {
	i := 0
	var who uint32
	for ; i < len(text); i++ {
		bits, ok := map[byte]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[text[i]]
		if !ok {
			break
		}
		who |= bits
	}
	if who == 0 {
		who = 0o7777
	}
	if i == len(text) {
		return nil, fmt.Errorf("%q is neither octal nor WHO OPERATOR PERMISSIONS", text)
	}
	var actions []modeChange
	for i < len(text) {
		op := text[i]
		if op != '+' && op != '-' && op != '=' {
			return nil, fmt.Errorf("%q: %q is not one of + - =", text, op)
		}
		end := i + 1
		for end < len(text) && strings.IndexByte("+-=", text[end]) < 0 {
			end++
		}
		a, err := parseAction(who, op, text[i+1:end])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		actions = append(actions, a)
		i = end
	}
	return func(mode uint32, isDir bool) uint32 {
		for _, a := range actions {
			mode = a(mode, isDir)
		}
		return mode
	}, nil
}

func parseAction(who uint32, op byte, perms string) (modeChange, error) {
	if bad := strings.Trim(perms, "rwxXstugo"); bad != "" {
		return nil, fmt.Errorf("unknown permission %q", bad)
	}
	return func(mode uint32, isDir bool) uint32 {
		bits := permissions(perms, mode, isDir) & who
		switch op {
		case '+':
			return mode | bits
		case '-':
			return mode &^ bits
		}
		clear := who
		if isDir { // chmod keeps a directory's set-id bits unless they are named
			clear &^= 0o6000
		}
		return mode&^clear | bits
	}, nil
}

// permissions are the bits that letters stand for, for everybody.
func permissions(letters string, mode uint32, isDir bool) uint32 {
	var bits uint32
	for _, c := range letters {
		switch c {
		case 'r':
			bits |= 0o444
		case 'w':
			bits |= 0o222
		case 'x':
			bits |= 0o111
		case 'X':
			if isDir || mode&0o111 != 0 {
				bits |= 0o111
			}
		case 's':
			bits |= 0o6000
		case 't':
			bits |= 0o1000
		case 'u':
			bits |= mode >> 6 & 7 * 0o111
		case 'g':
			bits |= mode >> 3 & 7 * 0o111
		case 'o':
			bits |= mode & 7 * 0o111
		}
	}
	return bits
}

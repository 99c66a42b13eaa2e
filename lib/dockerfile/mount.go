package dockerfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"docksmith/lib/suggest"
)

// Mount is the value of RUN --mount.
type Mount struct {
	// Type is bind, cache, tmpfs, secret or ssh.
	Type string
	// From is a stage or an image, empty for the context. It is never expanded.
	From           string
	Source, Target string
	ReadOnly       bool
	// Size of a tmpfs in bytes, 0 without a limit.
	Size int64
	// ID is empty where none was given; the builder knows the default.
	ID string
	// Sharing of a cache: shared, private, locked, or empty.
	Sharing  string
	Required bool
	// Env names the variable that gets a secret, nil without; "" asks for the
	// default name.
	Env *string
	// Mode, UID and GID are nil where none was given.
	Mode, UID, GID *uint32
}

// Types of mounts.
const (
	MountBind   = "bind"
	MountCache  = "cache"
	MountTmpfs  = "tmpfs"
	MountSecret = "secret"
	MountSSH    = "ssh"
)

var (
	mountTypes = []string{MountBind, MountCache, MountTmpfs, MountSecret, MountSSH}
	mountKeys  = []string{"type", "from", "source", "src", "target", "dst", "destination", "readonly", "ro",
		"readwrite", "rw", "required", "size", "id", "sharing", "mode", "uid", "gid", "env"}
)

// ParseMount reads comma-separated key=value fields. Values go through expand
// unless it is nil.
func ParseMount(value string, expand func(string) (string, error)) (*Mount, error) {
	fields, err := mountFields(value)
	if err != nil {
		return nil, err
	}
	m := &Mount{Type: "bind"}
	for _, f := range fields { // what the other keys may be depends on it
		if f[0] == "type" {
			if m.Type, err = expanded(f[1], expand); err != nil {
				return nil, err
			}
			m.Type = strings.ToLower(m.Type)
			if err := oneOf(m.Type, mountTypes...); err != nil {
				return nil, fmt.Errorf("type %w", err)
			}
		}
	}
	m.ReadOnly = m.Type != "cache" && m.Type != "tmpfs"
	for _, f := range fields {
		v := f[1]
		if f[0] != "from" {
			if v, err = expanded(v, expand); err != nil {
				return nil, err
			}
		}
		if err := m.set(f[0], v); err != nil {
			return nil, err
		}
	}
	return m, m.check()
}

// MountFrom is the stage or image that the value of a --mount names, empty
// without: what can be known before variables are.
func MountFrom(value string) (string, error) {
	fields, err := mountFields(value)
	from := ""
	for _, f := range fields {
		if f[0] == "from" {
			from = f[1]
		}
	}
	return from, err
}

func expanded(value string, expand func(string) (string, error)) (string, error) {
	if expand == nil {
		return value, nil
	}
	return expand(value)
}

// mountFields splits a mount into keys, in lower case, and values; a key that
// stands alone means true.
func mountFields(value string) ([][2]string, error) {
	if value == "" {
		return nil, errors.New("the value is empty")
	}
	words, err := commaWords(value)
	if err != nil {
		return nil, err
	}
	fields := make([][2]string, 0, len(words))
	for _, word := range words {
		key, v, has := strings.Cut(word, "=")
		key = strings.ToLower(key)
		switch {
		case !slices.Contains(mountKeys, key):
			return nil, fmt.Errorf("unknown key %s%s", quoted(key), suggest.DidYouMean(key, mountKeys))
		case has:
		case slices.Contains([]string{"readonly", "ro", "readwrite", "rw", "required"}, key):
			v = "true"
		default:
			return nil, fmt.Errorf("%s needs a value", key)
		}
		fields = append(fields, [2]string{key, v})
	}
	return fields, nil
}

func (m *Mount) set(key, value string) (err error) {
	switch key {
	case "from":
		if n := strings.IndexByte(value, '$'); n >= 0 && n < len(value)-1 {
			return errors.New("from takes no variables: name a stage instead, FROM $IMAGE AS NAME")
		}
		m.From = value
	case "source", "src":
		m.Source = value
	case "target", "dst", "destination":
		m.Target = value
	case "id":
		m.ID = value
	case "env":
		m.Env = &value
	case "sharing":
		m.Sharing = strings.ToLower(value)
		if err = oneOf(m.Sharing, "shared", "private", "locked"); err != nil {
			return fmt.Errorf("sharing %w", err)
		}
	case "readonly", "ro":
		m.ReadOnly, err = truth(key, value)
	case "readwrite", "rw":
		var rw bool
		rw, err = truth(key, value)
		m.ReadOnly = !rw
	case "required":
		m.Required, err = truth(key, value)
	case "size":
		m.Size, err = parseSize(value)
	case "mode":
		m.Mode, err = number(key, value, 8)
	case "uid":
		m.UID, err = number(key, value, 10)
	case "gid":
		m.GID, err = number(key, value, 10)
	}
	if err == nil && !mountTakes(m.Type, key) {
		return fmt.Errorf("%s does not go with type %s", key, m.Type)
	}
	return err
}

// mountTakes tells which keys are only for some types.
func mountTakes(kind, key string) bool {
	switch key {
	case "required":
		return kind == "secret" || kind == "ssh"
	case "size":
		return kind == "tmpfs"
	case "sharing":
		return kind == "cache"
	case "mode", "uid", "gid":
		return kind == "secret" || kind == "ssh" || kind == "cache"
	case "from":
		return kind != "secret"
	}
	return true
}

func (m *Mount) check() error {
	switch {
	case m.Type != "secret":
	case m.Source == "" && m.Target == "" && m.ID == "":
		return errors.New("a secret needs an id, a source or a target")
	case m.Source != "" && m.ID != "":
		return errors.New("a secret has an id or a source, not both")
	}
	return nil
}

// checkMount checks a mount as far as it can be known before its variables are.
func checkMount(value string, escape byte) error {
	if !strings.Contains(value, "$") {
		_, err := ParseMount(value, func(v string) (string, error) {
			e, err := Expander{escape}.Word(v, nil)
			return e.Value, err
		})
		return err
	}
	fields, err := mountFields(value)
	for _, f := range fields {
		if f[0] == "from" {
			err = (&Mount{}).set(f[0], f[1])
		} else if err == nil {
			err = Expander{escape}.Check(f[1])
		}
		if err != nil {
			return err
		}
	}
	return err
}

func truth(key, value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s: %s is neither true nor false", key, quoted(value))
	}
	return b, nil
}

func number(key, value string, base int) (*uint32, error) {
	n, err := strconv.ParseUint(value, base, 32)
	if err != nil {
		return nil, fmt.Errorf("%s: %s is no number in base %d", key, quoted(value), base)
	}
	v := uint32(n)
	return &v, nil
}

// parseSize reads 64m, 1.5GiB and the like: powers of 1024.
func parseSize(s string) (int64, error) {
	bad := fmt.Errorf("size: %s is no size such as 64m", quoted(s))
	digits := strings.TrimRight(strings.ToLower(s), "bkmgtpi ")
	unit := strings.TrimPrefix(strings.ToLower(s[len(digits):]), " ")
	shift := 0
	if unit != "" {
		if n := strings.IndexByte("kmgtp", unit[0]); n >= 0 {
			shift, unit = 10*(n+1), unit[1:]
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 || strings.Trim(digits, "0123456789.") != "" {
		return 0, bad
	}
	switch unit {
	case "", "b", "i", "ib":
	default:
		return 0, bad
	}
	size := n * float64(int64(1)<<shift)
	if size >= 1<<63 {
		return 0, bad
	}
	return int64(size), nil
}

// commaWords splits at commas, with quotes as in CSV. A reader for these is
// dear, so the usual value without quotes does not get one.
func commaWords(value string) ([]string, error) {
	if value != "" && !strings.ContainsAny(value, "\"\r\n") {
		return strings.Split(value, ","), nil
	}
	words, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		var at *csv.ParseError
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, fmt.Errorf("split %s at commas: %w", quoted(value), err)
	}
	return words, nil
}

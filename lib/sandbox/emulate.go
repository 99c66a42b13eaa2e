package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// HandlerDir is where the kernel lists the handlers of foreign programs.
const HandlerDir = "/proc/sys/fs/binfmt_misc"

// EmulationError says why programs of another architecture do not run here.
type EmulationError struct {
	Arch   string // as in GOARCH
	Reason string
	// Handler is the one that is there and does not serve, if there is one.
	Handler string
}

func (e *EmulationError) Error() string { return e.Reason }

// CanRun says whether the programs of a container for the architecture arch run
// on a machine of the architecture host: by themselves, or through a handler
// listed in dir, normally HandlerDir. The error is an *EmulationError. Where dir
// does not tell, because binfmt_misc is not mounted there, the answer is nil:
// then only the attempt can tell.
func CanRun(dir, host, arch string) error {
	if host == arch || host == "amd64" && arch == "386" || host == "arm64" && arch == "arm" {
		return nil
	}
	sample, err := elfHeader(arch)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return nil
	}
	if status, err := os.ReadFile(filepath.Join(dir, "status")); err == nil && strings.TrimSpace(string(status)) != "enabled" {
		return &EmulationError{Arch: arch, Reason: "the handlers of foreign programs are switched off in " + dir}
	}
	found := &EmulationError{Arch: arch, Reason: "this machine is " + host + " and its kernel has no handler for the other architecture"}
	for _, e := range entries {
		if e.Name() == "register" || e.Name() == "status" {
			continue
		}
		h, err := readHandler(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed this moment
		}
		if err != nil || !h.takes(sample) {
			continue
		}
		found.Handler = e.Name()
		switch {
		case !h.enabled:
			found.Reason = "the handler " + e.Name() + " is switched off"
		case !h.fixed:
			found.Reason = "the handler " + e.Name() + " was registered without the flag F, so its interpreter " + h.interpreter + " is looked for in the container"
		default:
			return nil
		}
	}
	return found
}

// handler is one entry of binfmt_misc.
type handler struct {
	enabled     bool
	fixed       bool // flag F: the interpreter is open already
	interpreter string
	offset      int
	magic, mask []byte // mask nil: all bits count
}

// readHandler reads an entry as the kernel shows it.
func readHandler(name string) (*handler, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	h := &handler{}
	for line := range strings.Lines(string(raw)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "enabled":
			h.enabled = true
		case "interpreter":
			h.interpreter = value
		case "flags:":
			h.fixed = strings.Contains(value, "F")
		case "offset":
			h.offset, err = strconv.Atoi(value)
		case "magic":
			h.magic, err = hex.DecodeString(value)
		case "mask":
			h.mask, err = hex.DecodeString(value)
		}
		if err != nil {
			return nil, fmt.Errorf("read handler %s: %s: %w", name, key, err)
		}
	}
	return h, nil
}

// takes tells whether the kernel would give a program that begins with one of
// the headers to h. A handler of file names takes none.
func (h *handler) takes(headers [][]byte) bool {
	n := len(h.magic)
	if n == 0 || h.mask != nil && len(h.mask) != n || h.offset < 0 {
		return false
	}
	return slices.ContainsFunc(headers, func(header []byte) bool {
		// What a handler compares behind the header, programs may well have.
		for i := range min(n, len(header)-h.offset) {
			diff := header[h.offset+i] ^ h.magic[i]
			if h.mask != nil {
				diff &= h.mask[i]
			}
			if diff != 0 {
				return false
			}
		}
		return h.offset < len(header)
	})
}

// machines are the ELF class (1: 32 bits), byte order (1: little) and machine of
// architectures, by their names in GOARCH.
var machines = map[string]struct {
	class, order byte
	machine      uint16
}{
	"386": {1, 1, 3}, "amd64": {2, 1, 62}, "arm": {1, 1, 40}, "arm64": {2, 1, 183},
	"loong64": {2, 1, 258}, "mips": {1, 2, 8}, "mipsle": {1, 1, 8}, "mips64": {2, 2, 8}, "mips64le": {2, 1, 8},
	"ppc64": {2, 2, 21}, "ppc64le": {2, 1, 21}, "riscv64": {2, 1, 243}, "s390x": {2, 2, 22},
}

// elfHeader begins programs of an architecture: those at fixed addresses and
// those that can be moved.
func elfHeader(arch string) ([][]byte, error) {
	m, ok := machines[arch]
	if !ok {
		return nil, &EmulationError{Arch: arch, Reason: "unknown architecture " + arch}
	}
	var order binary.ByteOrder = binary.LittleEndian
	if m.order == 2 {
		order = binary.BigEndian
	}
	var headers [][]byte
	for _, kind := range []uint16{2, 3} {
		h := append([]byte("\x7fELF"), m.class, m.order, 1)
		h = append(h, bytes.Repeat([]byte{0}, 13)...)
		order.PutUint16(h[16:], kind)
		order.PutUint16(h[18:], m.machine)
		headers = append(headers, h)
	}
	return headers, nil
}

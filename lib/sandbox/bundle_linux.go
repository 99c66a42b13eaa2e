package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxConfig bounds config.json. The largest that engines write is some 40 KiB.
const maxConfig = 8 << 20

// OpenBundle opens the bundle in dir. The caller closes it.
func OpenBundle(dir string) (*Bundle, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open bundle %s: %w", dir, err)
	}
	b := &Bundle{dir: os.NewFile(uintptr(fd), dir), path: dir}
	if b.Spec, err = b.readConfig(); err != nil {
		return nil, errors.Join(fmt.Errorf("open bundle %s: %w", dir, err), b.Close())
	}
	return b, nil
}

// Close releases the bundle's directory.
func (b *Bundle) Close() error { return b.dir.Close() }

func (b *Bundle) readConfig() (*specs.Spec, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(int(b.dir.Fd()), "config.json", flags, 0)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	f := os.NewFile(uintptr(fd), "config.json")
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("config.json: not a regular file")
	}
	if st.Size > maxConfig {
		return nil, fmt.Errorf("config.json: larger than %d bytes", maxConfig)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	b.Config = raw
	return decodeConfig(raw)
}

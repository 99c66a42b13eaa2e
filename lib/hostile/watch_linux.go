package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// watched calls f and tells which names appeared in a directory meanwhile, also
// those that are gone again.
func watched(dir string, f func() error) (names []string, err error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	for b := make([]byte, 64<<10); ; {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EAGAIN) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		for e := b[:n]; len(e) >= unix.SizeofInotifyEvent; {
			length := binary.NativeEndian.Uint32(e[12:])
			e = e[unix.SizeofInotifyEvent:]
			name, _, _ := bytes.Cut(e[:length], []byte{0})
			names = append(names, string(name))
			e = e[length:]
		}
	}
}

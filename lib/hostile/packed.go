package hostile

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"sync"
)

// stretch is a piece of a stream: bytes, and zeros after them. It makes bombs
// without ever holding what they expand to.
type stretch struct {
	data  []byte
	zeros int // a multiple of megabyte
}

const megabyte = 1 << 20

// zeroMember is a gzip member of a megabyte of zeros.
var zeroMember = sync.OnceValue(func() []byte { return gzipOf(make([]byte, megabyte)) })

func gzipOf(plain []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("hostile: " + err.Error()) // to memory
	}
	return b.Bytes()
}

// gzipped compresses a stream, a member for each piece.
func gzipped(stream ...stretch) []byte {
	var b bytes.Buffer
	for _, s := range stream {
		if len(s.data) > 0 {
			b.Write(gzipOf(s.data))
		}
		for range s.zeros / megabyte {
			b.Write(zeroMember())
		}
	}
	return b.Bytes()
}

const (
	zstdMagic  = "\x28\xb5\x2f\xfd"
	gzipMagic  = "\x1f\x8b"
	bzip2Magic = "BZh"
	xzMagic    = "\xfd7zXZ\x00"
	zstdBlock  = 128 << 10
)

// zstdOf writes a stream as a zstd frame without compressing it, but for zeros.
// Who reads it must be ready to look back 1<<window bytes.
func zstdOf(window int, stream ...stretch) []byte {
	b := []byte(zstdMagic)
	b = append(b, 0, byte(window-10)<<3)
	add := func(kind, n int, data []byte) {
		b = binary.LittleEndian.AppendUint32(b, uint32(kind<<1|n<<3))
		b = append(b[:len(b)-1], data...)
	}
	for _, s := range stream {
		for d := s.data; len(d) > 0; {
			n := min(len(d), zstdBlock)
			add(0, n, d[:n])
			d = d[n:]
		}
		for range s.zeros / zstdBlock {
			add(1, zstdBlock, []byte{0})
		}
	}
	return append(b, 1, 0, 0) // the last block, empty
}

// zstdPlain writes what zstdOf compressed.
func zstdPlain(w io.Writer, b []byte) {
	zeros := make([]byte, zstdBlock)
	for b = b[len(zstdMagic)+2:]; len(b) >= 3; {
		h := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		n := h >> 3
		b = b[3:]
		if h>>1&3 == 1 {
			_, _ = w.Write(zeros[:n])
			n = 1
		} else {
			_, _ = w.Write(b[:n])
		}
		b = b[n:]
	}
}

// describe says what a layer is called in a manifest, and its diff ID, as far as
// there is one.
func describe(blob []byte) (kind, diffID string) {
	kind = "layer.v1.tar"
	plain := sha256.New()
	var err error
	switch {
	case bytes.HasPrefix(blob, []byte(gzipMagic)):
		kind += "+gzip"
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(blob)); err == nil {
			_, err = io.Copy(plain, r)
		}
	case bytes.HasPrefix(blob, []byte(zstdMagic)):
		kind += "+zstd"
		zstdPlain(plain, blob)
	case bytes.HasPrefix(blob, []byte(bzip2Magic)):
		_, err = io.Copy(plain, bzip2.NewReader(bytes.NewReader(blob)))
	default:
		plain.Write(blob)
	}
	_ = err // what is cut or has garbage at its end is meant to be
	return kind, "sha256:" + hex.EncodeToString(plain.Sum(nil))
}

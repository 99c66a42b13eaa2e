package layer

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// Compression is a format of compressed layers.
type Compression uint8

const (
	None  Compression = iota // plain
	Gzip                     // RFC 1952
	Zstd                     // RFC 8878
	Bzip2                    // read only
	Xz                       // read only
)

var compressionNames = [...]string{"none", "gzip", "zstd", "bzip2", "xz"}

func (c Compression) String() string {
	if int(c) < len(compressionNames) {
		return compressionNames[c]
	}
	return fmt.Sprintf("compression(%d)", uint8(c))
}

// ParseCompression reads the name of a format that we write: none, gzip or zstd.
func ParseCompression(s string) (Compression, error) {
	for i, n := range compressionNames[:Bzip2] {
		if s == n {
			return Compression(i), nil
		}
	}
	return None, fmt.Errorf("compression %q: not gzip, zstd or none", s)
}

const (
	// DefaultGzipLevel is the highest that costs no more time than the lowest: of
	// programs and documents of Debian, level 1 makes 48.3% at 164 MB/s, 2 47.4% at 155,
	// 3 46.2% at 170, 4 45.2% at 116, 5 44.4% at 87, 6 44.0% at 67 (two cores).
	DefaultGzipLevel = 3
	// DefaultZstdLevel is that of zstd(1): 39.0% of the same, level 1 43.4%.
	DefaultZstdLevel = 3

	// A block is compressed by one core, with the last 16 KiB before it as dictionary.
	// It is part of what the bytes depend on, and so is fixed, whatever the cores.
	gzipBlock = 512 << 10
	// More would be no faster than SHA-256 on the same stream, and cost memory.
	maxBlocks = 8
)

// NewCompressor writes to w, compressed, what is written to it. The bytes depend
// on the input, the format and the level alone: not on the number of cores, nor
// on how the input is cut into writes. Level 0 is the default of the format.
//
// Close completes the stream and must be called, also to abandon it; it does not
// close w. The compressor works in other goroutines: an error of w may come with a later call.
func NewCompressor(w io.Writer, c Compression, level int) (io.WriteCloser, error) {
	switch c {
	case None:
		return plainWriter{w}, nil
	case Gzip:
		if level == 0 {
			level = DefaultGzipLevel
		}
		if level < 1 || level > 9 {
			return nil, fmt.Errorf("gzip level %d: not 1 to 9", level)
		}
		return newGzipWriter(w, level)
	case Zstd:
		if level == 0 {
			level = DefaultZstdLevel
		}
		if level < 1 || level > 22 {
			return nil, fmt.Errorf("zstd level %d: not 1 to 22", level)
		}
		// Two encoders on any machine: one works while the other's block is written.
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithEncoderConcurrency(2))
	}
	return nil, fmt.Errorf("compress as %s: not gzip, zstd or none", c)
}

// gzipWriters, by their level, are kept for the next layer: one takes three
// megabytes, and the layers of most steps are small.
var gzipWriters [10]sync.Pool

type gzipWriter struct {
	z     *pgzip.Writer // nil: closed
	level int
}

func newGzipWriter(w io.Writer, level int) (*gzipWriter, error) {
	z, ok := gzipWriters[level].Get().(*pgzip.Writer)
	if ok {
		z.Reset(w)
	} else {
		var err error
		if z, err = pgzip.NewWriterLevel(w, level); err != nil {
			return nil, err
		}
	}
	return &gzipWriter{z, level}, z.SetConcurrency(gzipBlock, min(runtime.GOMAXPROCS(0)+1, maxBlocks))
}

func (g *gzipWriter) Write(p []byte) (int, error) {
	if g.z == nil {
		return 0, os.ErrClosed
	}
	return g.z.Write(p)
}

func (g *gzipWriter) Close() error {
	if g.z == nil {
		return nil
	}
	err := g.z.Close()
	if err == nil { // else something may still be at work in it
		gzipWriters[g.level].Put(g.z)
	}
	g.z = nil
	return err
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

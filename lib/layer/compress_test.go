package layer

import (
	"bytes"
	"compress/bzip2"
	stdgzip "compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/ulikunitz/xz"
	"go.uber.org/goleak"
)

// sample is n bytes, the same everywhere, that compress about as well as a layer does.
func sample(n int) []byte {
	r := rand.New(rand.NewPCG(7, 7))
	words := make([][]byte, 4000)
	for i := range words {
		w := make([]byte, 1+r.IntN(9))
		for j := range w {
			w[j] = byte(r.UintN(256) & r.UintN(256))
		}
		words[i] = w
	}
	b := make([]byte, 0, n+10)
	for len(b) < n {
		b = append(b, words[r.IntN(1+r.IntN(len(words)))]...)
	}
	return b[:n]
}

func compress(t testing.TB, c Compression, level int, p []byte, piece int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := NewCompressor(&b, c, level)
	if err != nil {
		t.Fatal(err)
	}
	for len(p) > 0 {
		n := min(piece, len(p))
		if _, err := z.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decompress(p []byte, o DecompressOptions) ([]byte, Compression, error) {
	r, c, err := Decompress(bytes.NewReader(p), o)
	if err != nil {
		return nil, c, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return b, c, err
}

// An upgrade of an encoder that changes bytes changes the digests of blobs. It
// must be a decision: keys and diff IDs stay, but layers are stored and pushed anew.
func TestGoldenDigests(t *testing.T) {
	data := sample(1600 << 10)
	for _, g := range []struct {
		c     Compression
		level int
		want  string
	}{
		{None, 0, "64b3ffbdf44ed8f7199878b3068c5156734fc6a9e2373b6cc4cd3f16056946d6"},
		{Gzip, 0, "86b1ab58732f65d49e14a040998f0e1b98ef7246199de0d4660143d38b1764ca"},
		{Gzip, 6, "04661e316b1a1e4ac2fb6d186b46423bf4e5cecbbd7ebefc8cc5e5be2b193a8b"},
		{Zstd, 0, "b6674cb278ff2fa82c0fea25c0b19da8c263a28f6e727ad25ad9e8df7df41ed9"},
		{Zstd, 11, "8fbbfb39d58f5562c6a31db62dc2386323336cbea4f4a08d4c4ee75573cd8770"},
	} {
		sum := sha256.Sum256(compress(t, g.c, g.level, data, 1<<20))
		if got := hex.EncodeToString(sum[:]); got != g.want {
			t.Errorf("%v level %d: digest %s, was %s", g.c, g.level, got, g.want)
		}
	}
}

func TestSameBytesOnAnyCores(t *testing.T) {
	data := sample(2<<20 + 17)
	for _, c := range []Compression{Gzip, Zstd} {
		var want []byte
		for _, procs := range []int{1, 2, 3, 16} {
			old := runtime.GOMAXPROCS(procs)
			for _, piece := range []int{len(data), 64 << 10, 4099} {
				got := compress(t, c, 0, data, piece)
				if want == nil {
					want = got
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%v: other bytes with GOMAXPROCS=%d, pieces of %d", c, procs, piece)
				}
			}
			runtime.GOMAXPROCS(old)
		}
	}
}

// TestGzipWritersAreUsedAgain: what one stream leaves does not show in the next.
func TestGzipWritersAreUsedAgain(t *testing.T) {
	data := sample(1<<20 + 99)
	want := compress(t, Gzip, 0, data, 1<<16)
	var first, second bytes.Buffer
	a, err := NewCompressor(&first, Gzip, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = a.Write(data[:700_000])
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(data); err == nil {
		t.Error("a closed compressor takes more")
	}
	b, err := NewCompressor(&second, Gzip, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil { // of its own, not of what is used again
		t.Fatal(err)
	}
	if _, err := b.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil || !bytes.Equal(second.Bytes(), want) {
		t.Errorf("the second stream has other bytes, %v", err)
	}
	broken, err := NewCompressor(fullWriter{}, Gzip, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = broken.Write(data)
	if err := broken.Close(); err == nil {
		t.Error("a failed write went unnoticed")
	}
	if got := compress(t, Gzip, 0, data, 1<<16); !bytes.Equal(got, want) {
		t.Error("other bytes after a failure")
	}
}

func TestDecompress(t *testing.T) {
	defer goleak.VerifyNone(t)
	data := sample(1<<20 + 5)
	for _, c := range []Compression{None, Gzip, Zstd} {
		for _, n := range []int{0, 1, 5, 511, 1 << 16, len(data)} {
			got, as, err := decompress(compress(t, c, 0, data[:n], 1<<20), DecompressOptions{})
			if err != nil || !bytes.Equal(got, data[:n]) || (n > 5 && as != c) {
				t.Errorf("%v of %d bytes: got %d bytes, %v, %v", c, n, len(got), as, err)
			}
		}
	}
	twice := append(compress(t, Gzip, 0, data, 1<<20), compress(t, Gzip, 0, data, 1<<20)...)
	if got, _, err := decompress(twice, DecompressOptions{}); err != nil || len(got) != 2*len(data) {
		t.Errorf("two gzip members: %d bytes, %v", len(got), err)
	}
	twice = append([]byte{0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'}, compress(t, Zstd, 0, data, 1<<20)...)
	if got, c, err := decompress(twice, DecompressOptions{}); err != nil || c != Zstd || len(got) != len(data) {
		t.Errorf("skippable zstd frame: %d bytes, %v, %v", len(got), c, err)
	}
}

func TestDecompressBzip2(t *testing.T) {
	if _, err := exec.LookPath("bzip2"); err != nil {
		t.Skip("bzip2 is not installed")
	}
	data := sample(20 << 10)
	cmd := exec.Command("bzip2", "-c")
	cmd.Stdin = bytes.NewReader(data)
	packed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(packed))); err != nil || !bytes.Equal(want, data) {
		t.Fatal("bzip2(1) made something else", err)
	}
	if got, c, err := decompress(packed, DecompressOptions{}); err != nil || c != Bzip2 || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v, %v", len(got), c, err)
	}
	checkCuts(t, "bzip2", packed, len(data))
}

// A stream cut anywhere, or with anything behind it, is an error.
func TestCutAndTrailing(t *testing.T) {
	defer goleak.VerifyNone(t)
	data := sample(3000)
	for _, c := range []Compression{Gzip, Zstd} {
		checkCuts(t, c.String(), compress(t, c, 0, data, 1<<20), len(data))
	}
}

func checkCuts(t *testing.T, name string, packed []byte, size int) {
	t.Helper()
	for n := 6; n < len(packed); n += 1 + len(packed)/400 {
		got, _, err := decompress(packed[:n], DecompressOptions{})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%s cut to %d of %d bytes: %d bytes, error %v", name, n, len(packed), len(got), err)
		}
	}
	for _, tail := range []string{"\x00", "x", "garbage after the end", "\x1f\x8b", string(make([]byte, 512))} {
		got, _, err := decompress(append(packed[:len(packed):len(packed)], tail...), DecompressOptions{})
		if err == nil {
			t.Errorf("%s: %q after the end accepted (%d of %d bytes)", name, tail, len(got), size)
		}
	}
}

func TestDecompressLimits(t *testing.T) {
	zeros := make([]byte, 8<<20)
	for _, c := range []Compression{Gzip, Zstd} {
		bomb := compress(t, c, 0, zeros, 1<<20)
		if got, _, err := decompress(bomb, DecompressOptions{}); err != nil || len(got) != len(zeros) {
			t.Errorf("%v: %v", c, err)
		}
		_, _, err := decompress(bomb, DecompressOptions{MaxRatio: 100, Free: 1 << 20})
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: ratio limit: %v", c, err)
		}
		_, _, err = decompress(bomb, DecompressOptions{MaxBytes: int64(len(zeros)) - 1})
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: size limit: %v", c, err)
		}
	}
	if _, _, err := decompress(zeros, DecompressOptions{MaxBytes: 1 << 20}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("plain: size limit: %v", err)
	}
}

// Closing early must not hang or leak, also with a reader that never ends.
func TestDecompressCloseEarly(t *testing.T) {
	defer goleak.VerifyNone(t)
	packed := compress(t, Gzip, 0, sample(8<<20), 1<<20)
	r, _, err := Decompress(bytes.NewReader(packed), DecompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(r, make([]byte, 10))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read after close: %v", err)
	}
}

func TestCompressorPassesErrorsOn(t *testing.T) {
	for _, c := range []Compression{None, Gzip, Zstd} {
		z, err := NewCompressor(fullWriter{}, c, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, werr := z.Write(sample(4 << 20))
		if cerr := z.Close(); werr == nil && cerr == nil {
			t.Errorf("%v: write error lost", c)
		}
	}
	for _, level := range []int{-1, 23} {
		if _, err := NewCompressor(io.Discard, Zstd, level); err == nil {
			t.Errorf("zstd level %d accepted", level)
		}
	}
	if _, err := NewCompressor(io.Discard, Bzip2, 0); err == nil {
		t.Error("bzip2 accepted")
	}
}

// gzip(1) and zstd(1) read what we write.
func TestPeersDecompress(t *testing.T) {
	data := sample(2 << 20)
	for c, prog := range map[Compression]string{Gzip: "gzip", Zstd: "zstd"} {
		if _, err := exec.LookPath(prog); err != nil {
			t.Logf("%s is not installed", prog)
			continue
		}
		cmd := exec.Command(prog, "-dc")
		cmd.Stdin = bytes.NewReader(compress(t, c, 0, data, 1<<20))
		if got, err := cmd.Output(); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", prog, len(got), err)
		}
	}
	z, err := stdgzip.NewReader(bytes.NewReader(compress(t, Gzip, 0, data, 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, data) {
		t.Errorf("compress/gzip: %d bytes, %v", len(got), err)
	}
}

func FuzzDecompress(f *testing.F) {
	data := sample(2000)
	for _, c := range []Compression{None, Gzip, Zstd} {
		f.Add(compress(f, c, 0, data, 1<<20))
	}
	f.Add([]byte("BZh91AY&SY"))
	f.Add(xzOf(f, data, xz.WriterConfig{DictCap: 4096}))
	f.Fuzz(func(t *testing.T, p []byte) {
		decompress(p, DecompressOptions{MaxBytes: 1 << 20})
	})
}

// BenchmarkCompress takes the tar named by $LAYER_SAMPLE, such as one of a Debian tree.
func BenchmarkCompress(b *testing.B) {
	data := sample(32 << 20)
	if name := os.Getenv("LAYER_SAMPLE"); name != "" {
		var err error
		if data, err = os.ReadFile(name); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		c      Compression
		levels []int
	}{{Gzip, []int{1, 2, 3, 4, 5, 6}}, {Zstd, []int{1, 3, 7}}} {
		for _, level := range c.levels {
			b.Run(fmt.Sprintf("%v-%d", c.c, level), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				var n int
				for b.Loop() {
					n = len(compress(b, c.c, level, data, 256<<10))
				}
				b.ReportMetric(100*float64(n)/float64(len(data)), "%size")
			})
		}
	}
}

func BenchmarkDecompress(b *testing.B) {
	data := sample(32 << 20)
	for _, c := range []Compression{Gzip, Zstd} {
		packed := compress(b, c, 0, data, 1<<20)
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				r, _, err := Decompress(bytes.NewReader(packed), DecompressOptions{})
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, r)
				r.Close()
			}
		})
	}
}

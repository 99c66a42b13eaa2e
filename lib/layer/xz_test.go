package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os/exec"
	"testing"

	"github.com/ulikunitz/xz"
)

// xzOf compresses with the library's own writer, so that the container which it
// writes is read by ours.
func xzOf(t testing.TB, p []byte, c xz.WriterConfig) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := c.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecompressXz(t *testing.T) {
	data := sample(300 << 10)
	for _, c := range []xz.WriterConfig{
		{}, {CheckSum: xz.CRC32}, {CheckSum: xz.SHA256}, {NoCheckSum: true}, {BlockSize: 100_001}, {DictCap: 4096},
	} {
		for _, n := range []int{0, 1, 9_999, len(data)} {
			packed := xzOf(t, data[:n], c)
			got, as, err := decompress(packed, DecompressOptions{})
			if err != nil || as != Xz || !bytes.Equal(got, data[:n]) {
				t.Fatalf("%+v of %d bytes: %d bytes, %v, %v", c, n, len(got), as, err)
			}
		}
	}
	one, two := xzOf(t, data[:20_000], xz.WriterConfig{BlockSize: 6000}), xzOf(t, data[:7], xz.WriterConfig{})
	both := append(append(append([]byte{}, one...), make([]byte, 8)...), two...)
	if got, _, err := decompress(both, DecompressOptions{}); err != nil || len(got) != 20_007 {
		t.Errorf("two streams with padding between them: %d bytes, %v", len(got), err)
	}
	if _, _, err := decompress(append(one[:len(one):len(one)], 0, 0, 0), DecompressOptions{}); err == nil {
		t.Error("padding that is no multiple of four accepted")
	}
}

// Cut anywhere a stream is io.ErrUnexpectedEOF; with any byte changed it is an
// error or, where nothing checks that byte, gives the same.
func TestXzDamage(t *testing.T) {
	data := sample(1500)
	packed := xzOf(t, data, xz.WriterConfig{BlockSize: 1000, DictCap: 4096})
	for n := 6; n < len(packed); n++ {
		if _, _, err := decompress(packed[:n], DecompressOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(packed), err)
		}
	}
	for _, tail := range []string{"x", "garbage after the end", "\xfd7zX", string(magicXz), "\x00"} {
		if _, _, err := decompress(append(packed[:len(packed):len(packed)], tail...), DecompressOptions{}); err == nil {
			t.Errorf("%q after the end accepted", tail)
		}
	}
	for i := 6; i < len(packed); i++ {
		bad := bytes.Clone(packed)
		bad[i] ^= 0x10
		if got, _, err := decompress(bad, DecompressOptions{}); err == nil && !bytes.Equal(got, data) {
			t.Fatalf("byte %d changed: no error", i)
		}
	}
}

// A block may not ask for more memory than a zstd frame may.
func TestXzDictionaryIsBounded(t *testing.T) {
	packed := xzOf(t, sample(5000), xz.WriterConfig{})
	header := packed[12 : 12+(int(packed[12])+1)*4]
	i := bytes.Index(header, []byte{0x21, 1})
	if i < 0 {
		t.Fatal("no LZMA2 filter in the header")
	}
	for code, want := range map[byte]error{30: nil, 31: ErrTooLarge, 40: ErrTooLarge} { // 128 MiB, 192 MiB, 4 GiB
		header[i+2] = code
		binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
		if _, _, err := decompress(packed, DecompressOptions{}); !errors.Is(err, want) {
			t.Errorf("dictionary code %d: %v, want %v", code, err, want)
		}
	}
}

func TestXzLimits(t *testing.T) {
	bomb := xzOf(t, make([]byte, 8<<20), xz.WriterConfig{})
	if _, _, err := decompress(bomb, DecompressOptions{}); err != nil {
		t.Error(err)
	}
	for _, o := range []DecompressOptions{{MaxRatio: 100, Free: 1 << 20}, {MaxBytes: 8<<20 - 1}} {
		if _, _, err := decompress(bomb, o); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// xz(1) itself, with several blocks and each kind of check.
func TestXzOfThePeer(t *testing.T) {
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("xz is not installed")
	}
	data := sample(400 << 10)
	for _, args := range [][]string{{"-6"}, {"-9e", "--check=sha256"}, {"-0", "--check=crc32", "--block-size=70000"}, {"-T2", "--block-size=100KiB"}, {"--check=none"}} {
		cmd := exec.Command("xz", append(args, "-c")...)
		cmd.Stdin = bytes.NewReader(data)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := decompress(packed, DecompressOptions{}); err != nil || !bytes.Equal(got, data) {
			t.Errorf("xz %v: %d bytes, %v", args, len(got), err)
		}
	}
}

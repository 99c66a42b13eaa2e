package buildctx

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkUnchanged is what a cached build pays for a context of 20,000 files:
// a walk with a common ignore file, and every hash from the index.
func BenchmarkUnchanged(b *testing.B) {
	root := benchTree(b, 20000)
	file := filepath.Join(b.TempDir(), "index")
	g, err := NewIgnore("**/.git", "**/node_modules", "*.md", "!README.md", "**/*.pyc")
	if err != nil {
		b.Fatal(err)
	}
	run := func(save bool) {
		x, err := OpenIndex(file)
		if err != nil {
			b.Fatal(err)
		}
		defer x.Close()
		c, err := Open(root, Options{Ignore: g, Index: x})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		var infos []*Info
		for info, err := range c.Walk(".", WalkOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			infos = append(infos, info)
		}
		if _, err := c.HashAll(context.Background(), infos); err != nil {
			b.Fatal(err)
		}
		if save {
			if err := x.Save(); err != nil {
				b.Fatal(err)
			}
		}
	}
	settle()
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			os.Remove(file)
			run(true)
		}
	})
	run(true)
	b.Run("warm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(false)
		}
	})
	b.Run("skim", func(b *testing.B) {
		c := openIndexed(b, root, file, false)
		for b.Loop() {
			f := c.NewFingerprint()
			c.Skim(".", WalkOptions{Fingerprint: f})
			if _, ok := f.Sum(); !ok {
				b.Fatal("no fingerprint")
			}
		}
	})
	b.Run("walk", func(b *testing.B) {
		c, _ := Open(root, Options{Ignore: g})
		defer c.Close()
		for b.Loop() {
			for _, err := range c.Walk(".", WalkOptions{}) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func benchTree(b *testing.B, files int) string {
	root := b.TempDir()
	data := make([]byte, 4096)
	for i := range files {
		dir := filepath.Join(root, "src", string(rune('a'+i/1000%26)), string(rune('a'+i/100%10)))
		if i%100 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		data[0], data[1] = byte(i), byte(i>>8)
		name := filepath.Join(dir, "file"+string(rune('0'+i/10%10))+string(rune('0'+i%10))+".txt")
		if err := os.WriteFile(name, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return root
}

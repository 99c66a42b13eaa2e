package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	layers "docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// plantVariable makes the test binary a ds-build of another version: what it
// builds differs from what ds-build builds in one class.
const plantVariable = "DOCKSMITH_TEST_PLANT"

// plantedEntry is an entry of a layer with its content.
type plantedEntry struct {
	*layers.Entry
	content []byte
}

// plants are what becomes of the entries d/, d/a and d/b of a layer, by class.
var plants = map[string]func([]plantedEntry){
	"nothing":    func([]plantedEntry) {},
	"content":    func(e []plantedEntry) { e[1].content = bytes.ToUpper(e[1].content) },
	"time":       func(e []plantedEntry) { e[1].ModTime = e[1].ModTime.Add(time.Second) },
	"mode":       func(e []plantedEntry) { e[1].Mode ^= 0o001 },
	"owner":      func(e []plantedEntry) { e[1].UID++ },
	"xattr":      func(e []plantedEntry) { e[1].Xattrs = map[string]string{"user.planted": "x"} },
	"order":      func(e []plantedEntry) { slices.Reverse(e[1:]) },
	"compressor": func([]plantedEntry) {},
}

func plantedMain(class string, args []string) int {
	if err := plantedBuild(class, args); err != nil {
		fmt.Fprintln(os.Stderr, "planted: error:", err)
		return 1
	}
	return 0
}

func plantedBuild(class string, args []string) (err error) {
	cmd := exec.Command("ds-build", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DOCKSMITH_EXEC_PATH=")
	if err := cmd.Run(); err != nil {
		return err
	}
	file := args[slices.Index(args, "--iidfile")+1]
	id, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	s, err := store.Open(os.Getenv("DOCKSMITH_ROOT"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	img, err := s.Image(strings.TrimSpace(string(id)), nil)
	if err != nil {
		return err
	}
	last := len(img.Layers) - 1
	tar, err := repack(s, img.Layers[last], plants[class])
	if err != nil {
		return err
	}
	o := store.LayerOptions{Compression: layers.Gzip}
	if class == "compressor" {
		o.Compression = layers.Zstd
	}
	if img.Layers[last], err = s.AddLayer(context.Background(), tar, o); err != nil {
		return err
	}
	img.Config.RootFS = oci.RootFS{}
	desc, err := s.WriteImage(context.Background(), img.Config, img.Layers, img.Manifest.Annotations)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(desc.Digest), 0o644)
}

// repack is a layer's tar with its entries changed.
func repack(s *store.Store, l oci.Layer, change func([]plantedEntry)) (io.Reader, error) {
	tar, err := s.OpenLayer(l)
	if err != nil {
		return nil, err
	}
	defer tar.Close()
	var entries []plantedEntry
	r := layers.NewReader(tar, layers.ReaderOptions{})
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		entries = append(entries, plantedEntry{e, content})
	}
	change(entries)
	var out bytes.Buffer
	w := layers.NewWriter(&out)
	for _, e := range entries {
		if err := w.WriteHeader(e.Entry); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	return &out, w.Close()
}

// TestRebuildNamesWhatWasPlanted has images built again by a ds-build of which
// the last layer differs in one class.
func TestRebuildNamesWhatWasPlanted(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t)
	b.base()
	b.write("ctx/a", "content of a")
	b.write("ctx/b", "content of b")
	b.write("ctx/Dockerfile", "FROM base\nCOPY a b /d/\n")
	id := b.sh("docksmith build -q -t app ctx")
	for class := range plants {
		t.Run(class, func(t *testing.T) {
			inner := *b
			inner.t = t
			inner.write(class+"/ds-build", "#!/bin/sh\n"+plantVariable+"="+class+" exec '"+self+"' -- \"$@\"\n")
			inner.sh("chmod 755 " + class + "/ds-build")
			out, err := inner.try("DOCKSMITH_EXEC_PATH=$PWD/" + class + " ds-verify rebuild app")
			verdict := "rebuild app: refuted " + id
			finding := `file /d/a of layer 2 ("COPY a b /d/ # buildkit"): differs in ` + class
			switch class {
			case "nothing":
				finding, verdict = "", "rebuild app: proven "+id
			case "order", "compressor":
				finding = `layer 2 ("COPY a b /d/ # buildkit"): differs in ` + class
			}
			lines := strings.Split(out, "\n")
			found := lines[:len(lines)-1]
			if lines[len(lines)-1] != verdict || class == "nothing" && len(found) > 0 || class != "nothing" && !slices.Contains(found, finding) {
				t.Errorf("%s\n%v\nwant %s", out, err, finding)
			}
			for _, f := range found { // and nothing else, but for what follows from it
				if f != finding && !strings.HasPrefix(f, "manifest ") && !strings.HasPrefix(f, "config rootfs") {
					t.Errorf("it also says %s", f)
				}
			}
		})
	}
}

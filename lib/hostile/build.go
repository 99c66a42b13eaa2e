package hostile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// builds are attacks on a builder's cache: two builds that differ in one word, of
// which the second must not get what the first one made.
func builds() []Fixture {
	const before, after = "before-it", "after-it9" // of one length
	poison := func(name, line, first, second string) Fixture {
		lines := func(word string) string { return strings.ReplaceAll(line, "WORD", word) }
		return poisoned(name, [2]string{lines(first), lines(second)}, [2]string{first, second}, [2]string{first, second})
	}
	// The word is a number in the header of a file.
	numbered := func(name, line string, first, second int) Fixture {
		marks := [2]string{fmt.Sprintf("%07o\x00", first), fmt.Sprintf("%07o\x00", second)}
		return poisoned(name, [2]string{fmt.Sprintf(line, first), fmt.Sprintf(line, second)}, [2]string{"x", "x"}, marks)
	}
	var list []Fixture
	for name, line := range map[string]string{
		"env":         "ENV X=WORD",
		"label":       "LABEL x=WORD",
		"healthcheck": "HEALTHCHECK CMD WORD",
		"onbuild":     "ONBUILD RUN WORD",
		"user":        "USER WORD",
		"workdir":     "WORKDIR /WORD",
		"volume":      "VOLUME /WORD",
		"shell":       `SHELL ["/WORD"]`,
		"cmd":         `CMD ["/WORD"]`,
		"entrypoint":  `ENTRYPOINT ["/WORD"]`,
		"maintainer":  "MAINTAINER WORD",
		"argument":    "ARG V=WORD\nLABEL x=$V",
		"destination": "COPY f /WORD",
		"file":        "COPY f /f",    // whose content is the word
		"directory":   "COPY . /all/", // with it and the Dockerfile
		"stage":       "COPY f /f\nFROM scratch\nCOPY --from=0 /f /g",
	} {
		list = append(list, poison(name, line, before, after))
	}
	return append(list,
		poison("expose", "EXPOSE WORD", "6007", "7006"),
		poison("stopsignal", "STOPSIGNAL WORD", "SIGTERM", "SIGQUIT"),
		numbered("owner", "COPY --chown=%d f /f", 1111, 2222),
		numbered("mode", "COPY --chmod=%o f /f", 0o640, 0o604))
}

// poisoned is an attack by two builds, of these lines with these contents of the
// file f: the image of the second has its mark, and not that of the first.
func poisoned(name string, lines, contents, marks [2]string) Fixture {
	return Fixture{Row: 22, Name: "cache/" + name, kind: ofBuild, play: func(t *trial) error {
		for i := range lines {
			if err := t.build(lines[i], contents[i]); err != nil || t.status != 0 || t.hung {
				return err
			}
		}
		made, err := readBuilt(t.out)
		switch {
		case err != nil:
			return err
		case !bytes.Contains(made, []byte(marks[1])):
			t.wrong = "the second build has nothing of what is new in it"
		case bytes.Contains(made, []byte(marks[0])):
			t.wrong = "the second build has something of the first"
		}
		return nil
	}, judge: wrong}
}

// build builds a Dockerfile whose context has a file f that has the same time
// and size each time.
func (t *trial) build(lines, content string) error {
	old := time.Unix(itemTime, 0)
	f := filepath.Join(t.p.root, "f")
	err := errors.Join(
		os.WriteFile(filepath.Join(t.p.root, "Dockerfile"), []byte("FROM scratch\n"+lines+"\n"), 0o644),
		os.WriteFile(f, []byte(content), 0o644),
		os.Chtimes(f, old, old))
	if err != nil {
		return err
	}
	return t.give(t.o.Build, nil)
}

// readBuilt is what an OCI archive says and has, as text: the config without its
// history, and the layers, plain.
func readBuilt(archive []byte) ([]byte, error) {
	files, err := readTar(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("read what was built: %w", err)
	}
	type descriptor struct{ Digest string }
	var index struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	blob := func(d descriptor) []byte { return files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")] }
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) == 0 {
		return nil, errors.Join(errors.New("read what was built: no index"), err)
	}
	var config map[string]any
	if err := errors.Join(json.Unmarshal(blob(index.Manifests[0]), &manifest), json.Unmarshal(blob(manifest.Config), &config)); err != nil {
		return nil, fmt.Errorf("read what was built: %w", err)
	}
	delete(config, "history")
	made := encode(config)
	for _, l := range manifest.Layers {
		plain := blob(l)
		if bytes.HasPrefix(plain, []byte(gzipMagic)) {
			r, err := gzip.NewReader(bytes.NewReader(plain))
			if err == nil {
				plain, err = io.ReadAll(io.LimitReader(r, 16*megabyte))
			}
			if err != nil {
				return nil, fmt.Errorf("read what was built: %w", err)
			}
		}
		made = append(made, plain...)
	}
	return made, nil
}

// readTar has the files of a small tar.
func readTar(r io.Reader) (map[string][]byte, error) {
	files := map[string][]byte{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err == nil {
			files[strings.TrimPrefix(h.Name, "./")], err = io.ReadAll(t)
		}
		if err != nil {
			return nil, err
		}
	}
}

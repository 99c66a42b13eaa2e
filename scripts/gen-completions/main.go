// Command gen-completions writes the shell completions of every program.
//
//	go run ./scripts/gen-completions -bin bin -out completions [-check]
//
// What it knows of a ds- program comes from the program's own declaration of
// its commands and flags (--dump-cli), and of docksmith from its help pages, so
// that there is no second list to keep. With -check it writes nothing and fails
// when a file is not what it would write.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// command is a program or subcommand, as --dump-cli describes it.
type command struct {
	Name     string    `json:"name"`
	Args     string    `json:"args"`
	Short    string    `json:"short"`
	Flags    []option  `json:"flags"`
	Commands []command `json:"commands"`
}

type option struct {
	Name     string `json:"name"`
	Letter   string `json:"letter"`
	Arg      string `json:"arg"`
	Usage    string `json:"usage"`
	Complete string `json:"complete"`
}

func main() {
	bin := flag.String("bin", "bin", "directory of the built programs")
	out := flag.String("out", "completions", "directory to write to")
	check := flag.Bool("check", false, "write nothing, fail when a file is stale")
	flag.Parse()
	if err := generate(*bin, *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "gen-completions: error:", err)
		os.Exit(1)
	}
}

func generate(bin, out string, check bool) error {
	list, err := load(bin)
	if err != nil {
		return err
	}
	want := map[string][]byte{}
	for _, c := range list {
		want[filepath.Join(out, "bash", c.Name)] = bash(c)
		want[filepath.Join(out, "zsh", "_"+c.Name)] = zsh(c)
		want[filepath.Join(out, "fish", c.Name+".fish")] = fish(c)
	}
	stale, err := compare(out, want)
	if err != nil {
		return err
	}
	if check {
		if len(stale) > 0 {
			return fmt.Errorf("stale, run make gen: %s", strings.Join(stale, " "))
		}
		return nil
	}
	return write(stale, want)
}

// load asks every program for its commands and flags.
func load(bin string) ([]command, error) {
	paths, err := filepath.Glob(filepath.Join(bin, "ds-*"))
	if err != nil {
		return nil, err
	}
	var list []command
	for _, path := range paths {
		text, err := exec.Command(path, "--dump-cli").Output()
		if err != nil {
			return nil, fmt.Errorf("%s --dump-cli: %w", path, err)
		}
		var c command
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("%s --dump-cli: %w", path, err)
		}
		list = append(list, c)
	}
	porcelain, err := readPorcelain(list, func(args ...string) (string, error) {
		text, err := exec.Command(filepath.Join(bin, "docksmith"), args...).Output()
		return string(text), err
	})
	return append(list, porcelain), err
}

// compare lists the files that are missing, different or no longer wanted.
func compare(out string, want map[string][]byte) ([]string, error) {
	have, err := filepath.Glob(filepath.Join(out, "*", "*"))
	if err != nil {
		return nil, err
	}
	var stale []string
	for _, path := range have {
		if want[path] == nil {
			stale = append(stale, path)
		}
	}
	for path, text := range want {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) {
			stale = append(stale, path)
		}
	}
	slices.Sort(stale)
	return stale, nil
}

func write(paths []string, want map[string][]byte) error {
	for _, path := range paths {
		text := want[path]
		if text == nil {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

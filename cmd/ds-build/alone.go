package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// stepAlone reads --step, and the numbers of --stage with their files; it is nil
// without.
func (o *options) stepAlone() (*build.Alone, map[int]string, error) {
	if o.step == "" {
		if o.after != "" || len(o.stages) > 0 {
			return nil, nil, cli.Usagef("--after and --stage go with --step")
		}
		return nil, nil, nil
	}
	a := &build.Alone{Stages: map[int]*build.Base{}}
	stage, step, ok := strings.Cut(o.step, ".")
	var err, err2 error
	a.Stage, err = strconv.Atoi(stage)
	a.Step, err2 = strconv.Atoi(step)
	if !ok || err != nil || err2 != nil || a.Stage < 0 || a.Step < 0 {
		return nil, nil, cli.Usagef("--step %s: want STAGE.STEP, two numbers", o.step)
	}
	files := map[int]string{}
	for _, word := range o.stages {
		number, file, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || file == "" {
			return nil, nil, cli.Usagef("--stage %s: want NUMBER=FILE", word)
		}
		files[n] = file
	}
	return a, files, nil
}

// alone is the step that is executed alone, with its images. An image that the
// store has no more is left out: what it held is built again, by the cache.
func (o *options) alone(st *images) (*build.Alone, error) {
	a, files, err := o.stepAlone()
	if a == nil || err != nil {
		return nil, err
	}
	if o.after != "" {
		if a.Before, err = st.ofFile(o.after); err != nil {
			return nil, fmt.Errorf("--after: %w", err)
		}
	}
	for n, file := range files {
		if a.Stages[n], err = st.ofFile(file); err != nil {
			return nil, fmt.Errorf("--stage: %w", err)
		}
	}
	return a, nil
}

// ofFile is the image whose digest a file of --iidfile holds; nil if it is gone.
func (i *images) ofFile(name string) (*build.Base, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	img, err := i.Store.Image(strings.TrimSpace(string(text)), nil)
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &build.Base{Image: img.Config, Layers: img.Layers}, nil
}

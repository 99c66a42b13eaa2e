package main

import (
	"errors"
	"os"

	"docksmith/lib/cli"
)

func outputFlag(f *cli.Flags, out *string) {
	f.StringVarP(out, "output", "o", "", "write to `FILE`, which appears whole or not at all")
	f.Complete("output", "file")
}

// refuseSame is an error if the output file is also an input.
func refuseSame(out string, inputs ...string) error {
	if out == "" || out == "-" {
		return nil
	}
	to, err := os.Stat(out)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, in := range inputs {
		if from, err := os.Stat(in); in != "-" && err == nil && os.SameFile(from, to) {
			return cli.Usagef("%s is both input and output", in)
		}
	}
	return nil
}

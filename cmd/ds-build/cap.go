package main

import (
	"context"
	"errors"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/keep"
	"docksmith/lib/limits"
	"docksmith/lib/store"
)

// maxBytesVariable is the cap under which builds keep the store. Without it
// nothing is looked at.
const maxBytesVariable = "DOCKSMITH_MAX_BYTES"

// spaceCap is the cap; 0 is none.
func spaceCap() (int64, error) {
	text := os.Getenv(maxBytesVariable)
	if text == "" {
		return 0, nil
	}
	n, err := limits.ParseSize(text)
	if err != nil {
		return 0, cli.Usagef("%s: %v", maxBytesVariable, err)
	}
	return n, nil
}

// keepCap brings the store below the cap at the end of a build, while what the
// build has used is still leased: so all that is not leased is below it at any
// time. Only where the build itself needs more, more goes after it. What
// cannot be done is a warning: the image is there.
func keepCap(ctx context.Context, s *cli.IO, st *store.Store, most int64) error {
	if most == 0 || ctx.Err() != nil {
		return nil
	}
	res, err := keep.Under(ctx, st, most)
	if err == nil && res.Over > 0 {
		if err := st.Close(); err != nil {
			return err
		}
		res, err = keep.Under(ctx, st, most)
	}
	if err == nil {
		err = res.Excess(cli.Size)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		s.Warnf("%s: %v", maxBytesVariable, err)
	}
	return nil
}

package store

import (
	"context"
	"io"
)

// copyTo is io.Copy with one modest buffer, in which a cancelled context ends it.
func copyTo(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	var n int64
	buf := make([]byte, chunkSize)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		k, err := r.Read(buf)
		if k > 0 {
			if _, err := w.Write(buf[:k]); err != nil {
				return n, err
			}
			n += int64(k)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func drain(ctx context.Context, r io.Reader) error {
	_, err := copyTo(ctx, io.Discard, r)
	return err
}

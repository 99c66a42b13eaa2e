package container

import (
	"bytes"
	"errors"
	"io"
)

// endBytes is how much of a log LastLine looks at: two of the longest records.
var endBytes = 2 * int64(logLine)

// LastLine is the last line of output in a log, or the end of it if it is long;
// empty without one. It takes the same time for a log of any size.
func LastLine(path string) (string, error) {
	l, err := ReadLog(path)
	if err != nil {
		return "", err
	}
	defer l.Close()
	st, err := l.file.Stat()
	if err != nil {
		return "", err
	}
	if from := st.Size() - endBytes; from > 0 {
		if err := l.seek(from); err != nil {
			return "", err
		}
		cut, err := l.r.ReadSlice('\n') // the rest of a record
		if err != nil {
			return "", err
		}
		l.offset += int64(len(cut))
	}
	var last []byte
	for {
		rec, err := l.Next()
		if errors.Is(err, io.EOF) {
			return string(last), nil
		}
		if err != nil {
			return "", err
		}
		if len(bytes.TrimSpace(rec.Bytes)) > 0 {
			last = append(last[:0], rec.Bytes...)
		}
	}
}

package container

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A log is text, as Kubernetes defines it for container runtimes: each record is
// a line "TIME STREAM TAG BYTES", the time in RFC 3339 with nanoseconds. The tag
// is F where a line of the output ends, P where it goes on with the stream's
// next record. Unlike Docker's JSON it keeps every byte as it was.

// Streams of a log.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

const (
	logTime  = "2006-01-02T15:04:05.000000000Z"
	logPiece = 16 << 10 // of output in one record
	logLine  = len(logTime) + len(" stdout F ") + logPiece + 1
)

// Log writes the output of a container to a file.
type Log struct {
	mu   sync.Mutex
	file *os.File
	buf  []byte
}

// OpenLog opens a log to write behind what it has.
func OpenLog(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &Log{file: f}, nil
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }

// Copy writes what it reads from r to the log, as of the stream, until the end
// of r. What the log cannot take, on a full disk, is lost, and the first error
// of that is returned at the end: who writes to the other end of r is not held up.
func (l *Log) Copy(stream string, r io.Reader) error {
	var failed error
	piece := make([]byte, logPiece)
	for {
		n, err := r.Read(piece)
		if n > 0 {
			if err := l.write(stream, piece[:n]); failed == nil {
				failed = err
			}
		}
		if err == io.EOF {
			return failed
		}
		if err != nil {
			return errors.Join(failed, fmt.Errorf("read %s: %w", stream, err))
		}
	}
}

// write adds records in one write, which no other comes between.
func (l *Log) write(stream string, p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().UTC()
	l.buf = l.buf[:0]
	for len(p) > 0 {
		line, tag, rest := p, " P ", []byte(nil)
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line, tag, rest = p[:i], " F ", p[i+1:]
		}
		l.buf = now.AppendFormat(l.buf, logTime)
		l.buf = append(l.buf, ' ')
		l.buf = append(l.buf, stream...)
		l.buf = append(l.buf, tag...)
		l.buf = append(l.buf, line...)
		l.buf = append(l.buf, '\n')
		p = rest
	}
	if _, err := l.file.Write(l.buf); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// LogRecord is a line of output, or a piece of one.
type LogRecord struct {
	Time   time.Time
	Stream string
	// Ends says that a line ends here, Begins that one begins.
	Ends, Begins bool
	// Bytes are the line without its end, until the next record is read.
	Bytes []byte
}

// LogReader reads a log. At the end of the file, where a record may be half
// written, Next gives io.EOF; it can be called again when there is more.
type LogReader struct {
	file   *os.File
	r      *bufio.Reader
	offset int64           // of what Next reads next
	open   map[string]bool // streams within a line
}

// ReadLog opens a log to read.
func ReadLog(path string) (*LogReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &LogReader{file: f, r: bufio.NewReaderSize(f, logLine), open: map[string]bool{}}, nil
}

// Close closes the file.
func (l *LogReader) Close() error { return l.file.Close() }

// Next gives the next record.
func (l *LogReader) Next() (LogRecord, error) {
	line, err := l.r.ReadSlice('\n')
	if err == io.EOF {
		if err := l.seek(l.offset); err != nil { // what there is of it is read again
			return LogRecord{}, err
		}
		return LogRecord{}, io.EOF
	}
	if err != nil {
		return LogRecord{}, fmt.Errorf("read log at byte %d: %w", l.offset, err)
	}
	rec, err := parseRecord(line[:len(line)-1])
	if err != nil {
		return rec, fmt.Errorf("read log at byte %d: %w", l.offset, err)
	}
	l.offset += int64(len(line))
	rec.Begins = !l.open[rec.Stream]
	l.open[rec.Stream] = !rec.Ends
	return rec, nil
}

func parseRecord(line []byte) (rec LogRecord, err error) {
	fields := bytes.SplitN(line, []byte(" "), 4)
	if len(fields) != 4 || len(fields[2]) != 1 {
		return rec, errors.New("it is no record")
	}
	if rec.Time, err = time.Parse(time.RFC3339Nano, string(fields[0])); err != nil {
		return rec, errors.New("it is no record: there is no time")
	}
	rec.Stream, rec.Ends, rec.Bytes = string(fields[1]), fields[2][0] == 'F', fields[3]
	if rec.Stream != Stdout && rec.Stream != Stderr || !rec.Ends && fields[2][0] != 'P' {
		return rec, errors.New("it is no record: the stream or the tag is not known")
	}
	return rec, nil
}

func (l *LogReader) seek(offset int64) error {
	_, err := l.file.Seek(offset, io.SeekStart)
	l.r.Reset(l.file)
	l.offset = offset
	return err
}

// Tail goes on with the last n lines of those that are there. Nothing has been
// read before.
func (l *LogReader) Tail(n int) error {
	starts := make([]int64, 0, min(n, 1<<10)) // of the last n lines, as a ring
	next := 0
	for {
		at := l.offset
		rec, err := l.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case !rec.Begins || n == 0:
		case len(starts) < n:
			starts = append(starts, at)
		default:
			starts[next] = at
			next = (next + 1) % n
		}
	}
	if len(starts) == 0 {
		return nil // at the end
	}
	clear(l.open)
	return l.seek(starts[next%len(starts)])
}

package main

import "bytes"

// missesIDs tells whether what a command printed last sounds as if it had
// wanted a user or group that a user namespace of one id does not have: chown
// and setuid are then invalid, setgroups is not permitted.
func missesIDs(output []byte) bool {
	text := bytes.ToLower(output)
	return bytes.Contains(text, []byte("invalid argument")) || bytes.Contains(text, []byte("operation not permitted"))
}

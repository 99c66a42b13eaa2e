package sandbox

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// The command is not executed by our binary. A file of the image may begin with
// "#!/proc/self/exe", and the kernel would run what that leads to: the binary,
// inside, where another process of the container can take hold of it by
// /proc/PID/exe and overwrite it when it has ended (CVE-2019-5736 was that, by
// another path). So our last step is to execute the program below, from a sealed
// memory file, and its only one is to execute the command: /proc/self/exe then
// leads to it, and nobody has an interest in it.
//
// Its arguments are the command's path, and then the command's own. Where it
// cannot execute it reports that, as walk does; a descriptor that is closed when
// it can is the report that all went well. Executed by "#!/proc/self/exe" it finds
// none, and ends.

// threshold is what it does, by architecture. The number of the report's
// descriptor stands where the offsets of report say.
var threshold = map[string]struct {
	machine uint16
	code    []byte
	report  []int
}{
	"amd64": {machine: 62, report: []int{1, 66}, code: []byte{
		0xbf, 0, 0, 0, 0, // mov edi, report
		0xbe, 2, 0, 0, 0, // mov esi, F_SETFD
		0xba, 1, 0, 0, 0, // mov edx, FD_CLOEXEC
		0xb8, 72, 0, 0, 0, // mov eax, fcntl
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test eax, eax
		0x78, 0x3b, // js to the end: it was closed already
		0x48, 0x8b, 0x7c, 0x24, 0x08, // mov rdi, [rsp+8] (the path)
		0x48, 0x8d, 0x74, 0x24, 0x10, // lea rsi, [rsp+16] (its arguments)
		0x48, 0x8b, 0x04, 0x24, // mov rax, [rsp] (how many there are)
		0x48, 0x8d, 0x54, 0xc4, 0x10, // lea rdx, [rsp+8*rax+16] (the environment)
		0xb8, 59, 0, 0, 0, // mov eax, execve
		0x0f, 0x05, // syscall
		0xf7, 0xd8, // neg eax
		0x48, 0xc1, 0xe0, 0x20, // shl rax, 32
		0x48, 0x0d, 0xff, 0xff, 0xff, 0x7f, // or rax, thresholdStep
		0x50,             // push rax
		0xbf, 0, 0, 0, 0, // mov edi, report
		0x48, 0x89, 0xe6, // mov rsi, rsp
		0xba, 8, 0, 0, 0, // mov edx, 8
		0xb8, 1, 0, 0, 0, // mov eax, write
		0x0f, 0x05, // syscall
		0xbf, 127, 0, 0, 0, // mov edi, 127
		0xb8, 231, 0, 0, 0, // mov eax, exit_group
		0x0f, 0x05, // syscall
	}},
	"arm64": {machine: 183, report: []int{0, 68}, code: words(
		0xd2800000, // mov x0, report
		0xb27f03e1, // mov x1, F_SETFD
		0xb24003e2, // mov x2, FD_CLOEXEC
		0xd2800328, // mov x8, fcntl
		0xd4000001, // svc 0
		0xb7f80220, // tbnz x0, 63, to the end
		0xf94003e3, // ldr x3, [sp]
		0xf94007e0, // ldr x0, [sp, 8]
		0x910043e1, // add x1, sp, 16
		0x8b030c22, // add x2, x1, x3, lsl 3
		0xd2801ba8, // mov x8, execve
		0xd4000001, // svc 0
		0xcb0003e0, // neg x0, x0
		0xd3607c00, // lsl x0, x0, 32
		0xf29fffe0, // movk x0, 0xffff
		0xf2afffe0, // movk x0, 0x7fff, lsl 16
		0xf81f0fe0, // str x0, [sp, -16]!
		0xd2800000, // mov x0, report
		0x910003e1, // mov x1, sp
		0xb27d03e2, // mov x2, 8
		0xb27a03e8, // mov x8, write
		0xd4000001, // svc 0
		0xb2401be0, // mov x0, 127
		0xd2800bc8, // mov x8, exit_group
		0xd4000001, // svc 0
	)},
}

// thresholdStep is the number of the step in its report.
const thresholdStep = 0x7fffffff

func words(list ...uint32) (b []byte) {
	for _, w := range list {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// thresholdFile makes the sealed memory file; nil for an architecture without.
func thresholdFile(report int) (*os.File, error) {
	t, ok := threshold[runtime.GOARCH]
	if !ok {
		return nil, nil
	}
	code, shift := slices.Clone(t.code), 0
	if t.machine == 183 {
		shift = 5 // within the instruction
	}
	for _, at := range t.report {
		old := binary.LittleEndian.Uint32(code[at:])
		binary.LittleEndian.PutUint32(code[at:], old|uint32(report)<<shift)
	}
	return sealedProgram("docksmith-threshold", elfImage(t.machine, code), 0o555)
}

// openThreshold gives the process the file, and keeps an error for finish. The
// caller closes the file.
func (p *process) openThreshold(prog *program) *os.File {
	file, err := thresholdFile(prog.fds[0])
	if err != nil {
		p.unfit = fmt.Errorf("start process: %w", err)
	}
	if file != nil {
		p.threshold = int(prog.open(int(file.Fd())))
	}
	return file
}

// crosses tells whether the command is executed from the threshold. A filter that
// is in force by then and denies what that takes is the caller's choice, as is
// then the risk.
func (p *process) crosses() bool {
	return p.threshold >= 0 && (p.filter == nil || crossable(p.filter))
}

// keepReport leaves it to the threshold to close the report. It comes before the
// filter.
func (p *process) keepReport(prog *program) {
	if p.crosses() {
		prog.add("keep report", unix.SYS_FCNTL, uintptr(prog.fds[0]), unix.F_SETFD, 0)
	}
}

// execute adds the last step.
func (p *process) execute(prog *program) {
	if p.crosses() {
		argv, envp := prog.texts(append([]string{p.path}, p.argv...)), prog.texts(p.env)
		prog.add(executeName, unix.SYS_EXECVEAT, uintptr(p.threshold), prog.text(""), argv, envp, unix.AT_EMPTY_PATH)
		return
	}
	argv, envp := prog.texts(p.argv), prog.texts(p.env)
	prog.add(executeName, unix.SYS_EXECVE, prog.text(p.path), argv, envp)
}

// crossable tells whether a filter lets the threshold be executed and close the
// report.
func crossable(filter []unix.SockFilter) bool {
	native := seccompArches[0].audit
	for _, c := range []seccompCall{
		{nr: unix.SYS_EXECVEAT, arch: native, args: [6]uint64{4: unix.AT_EMPTY_PATH}},
		{nr: unix.SYS_FCNTL, arch: native, args: [6]uint64{10, unix.F_SETFD, unix.FD_CLOEXEC}},
	} {
		verdict, err := decide(filter, c)
		if err != nil || verdict != retAllow && verdict != retLog {
			return false
		}
	}
	return true
}

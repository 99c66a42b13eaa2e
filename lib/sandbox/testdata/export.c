/* Compiles a seccomp profile with libseccomp, for comparison. Input, by lines:
 *   default ACTION
 *   arch NUMBER
 *   rule ACTION NAME COUNT [INDEX OP VALUE VALUE]...
 * Output: the filter as the kernel takes it. */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	char word[32], name[64];
	uint32_t action, arch;
	unsigned n;
	scmp_filter_ctx ctx = NULL;

	while (scanf("%31s", word) == 1) {
		if (!strcmp(word, "default") && scanf("%" SCNu32, &action) == 1) {
			ctx = seccomp_init(action);
			seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
		} else if (!strcmp(word, "arch") && scanf("%" SCNu32, &arch) == 1) {
			int rc = seccomp_arch_add(ctx, arch);
			if (rc && rc != -EEXIST)
				return 2;
		} else if (!strcmp(word, "rule") && scanf("%" SCNu32 " %63s %u", &action, name, &n) == 3) {
			struct scmp_arg_cmp cmp[6];
			for (unsigned i = 0; i < n; i++) {
				unsigned index, op;
				uint64_t a, b;
				if (scanf("%u %u %" SCNu64 " %" SCNu64, &index, &op, &a, &b) != 4)
					return 3;
				cmp[i] = (struct scmp_arg_cmp){ index, op, a, b };
			}
			int nr = seccomp_syscall_resolve_name(name);
			if (nr == __NR_SCMP_ERROR) {
				fprintf(stderr, "unknown %s\n", name);
				continue;
			}
			int rc = seccomp_rule_add_array(ctx, action, nr, n, cmp);
			if (rc && rc != -EEXIST && rc != -EDOM && rc != -EINVAL) {
				fprintf(stderr, "rule %s: %d\n", name, rc);
				return 4;
			}
		} else {
			return 5;
		}
	}
	return ctx && !seccomp_export_bpf(ctx, STDOUT_FILENO) ? 0 : 6;
}

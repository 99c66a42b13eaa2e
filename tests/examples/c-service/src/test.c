#include "calendar.h"

#include <stdio.h>

int main(void)
{
	if (leap_year(2024) && leap_year(2000) && !leap_year(1900) && !leap_year(2026))
		return puts("calendar: ok") < 0;
	return 1;
}

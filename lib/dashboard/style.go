package dashboard

import (
	"fmt"
	"strings"
)

// A colour stands for the same on the whole page: blue for images, green for what
// runs, violet for the cache, amber for work that was done, red for failures,
// grey for the rest. Each has a tint that carries text.
type colour struct{ name, light, dark string }

var palette = []colour{
	{"page", "#f6f7f9", "#14171c"},
	{"card", "#ffffff", "#1d2129"},
	{"text", "#1b2230", "#e8ebf0"},
	{"muted", "#565f6e", "#a3adbd"},
	{"line", "#d9dde3", "#363d49"},
	{"image", "#2c66b0", "#6aa5ec"},
	{"image-tint", "#d5e4f6", "#22406a"},
	{"run", "#13795b", "#4cc096"},
	{"run-tint", "#cdebe0", "#16493a"},
	{"cache", "#7a4fb5", "#b291e8"},
	{"cache-tint", "#e6dcf5", "#45316a"},
	{"work", "#b35c00", "#f0a04b"},
	{"bad", "#c0262d", "#ff7b78"},
	{"rest", "#6b7482", "#929cab"},
	{"rest-tint", "#e3e6eb", "#3a414e"},
}

// sheet is the page's style.
func sheet() raw {
	var light, dark strings.Builder
	for _, c := range palette {
		fmt.Fprintf(&light, "--%s:%s;", c.name, c.light)
		fmt.Fprintf(&dark, "--%s:%s;", c.name, c.dark)
	}
	return raw("\n:root{color-scheme:light dark;" + light.String() + "}\n@media(prefers-color-scheme:dark){:root{" + dark.String() + "}}\n" + rules)
}

const rules = `*{box-sizing:border-box}
body{margin:0 auto;max-width:1200px;padding:16px;background:var(--page);color:var(--text);font:15px/1.45 system-ui,sans-serif}
h1{font-size:22px;margin:0}
h2{font-size:16px;margin:0 0 2px}
p{margin:0 0 10px;color:var(--muted);font-size:13px}
header p,td,dd,.name{overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin:12px 0}
dl div,section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}
dt{color:var(--muted);font-size:13px}
dd{margin:0;font-size:22px;font-weight:600;line-height:1.3}
dd small{display:block;font-size:13px;font-weight:400;color:var(--muted)}
main{display:grid;grid-template-columns:1fr 1fr;gap:12px}
section{grid-column:1/-1;min-width:0}
section.half{grid-column:auto}
svg{display:block;width:100%;overflow:hidden;font:12px system-ui,sans-serif}
svg text{fill:var(--text)}
svg .quiet{fill:var(--muted)}
svg .strong{font-weight:600}
svg .end{text-anchor:end}
svg .grid{stroke:var(--line);stroke-width:1}
.map{height:260px}
.below{height:calc(100% - 22px)}
rect{stroke:var(--card);stroke-width:2}
.bars rect,.spans rect{stroke-width:0}
.image{fill:var(--image)}.run{fill:var(--run)}.cache{fill:var(--cache)}.work{fill:var(--work)}.bad{fill:var(--bad)}.rest{fill:var(--rest)}
.image-tint{fill:var(--image-tint);stroke:var(--image)}.run-tint{fill:var(--run-tint);stroke:var(--run)}.cache-tint{fill:var(--cache-tint);stroke:var(--cache)}.rest-tint{fill:var(--rest-tint);stroke:var(--rest)}
.image-tint,.run-tint,.cache-tint,.rest-tint{stroke-width:1}
.axis{display:flex;justify-content:space-between;gap:10px;margin:2px 0 8px;font-size:12px}
.map+p{margin-top:6px}
.track{fill:var(--line)}
.key{white-space:nowrap;margin-right:14px}
.key svg{display:inline-block;width:11px;height:11px;margin-right:5px;vertical-align:-1px}
table{width:100%;border-collapse:collapse;font-size:13px}
th{text-align:left;font-weight:600;color:var(--muted);padding:4px 10px 4px 0;white-space:nowrap}
td{border-top:1px solid var(--line);padding:5px 10px 5px 0;vertical-align:top;unicode-bidi:isolate}
td.num,th.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:12px ui-monospace,monospace}
.id{white-space:nowrap}
.state-bad{color:var(--bad)}.state-run{color:var(--run)}
summary{cursor:pointer;color:var(--muted);font-size:13px;padding:6px 0}
footer{color:var(--muted);font-size:13px;padding:12px 2px}
@media(max-width:640px){
body{padding:10px}
main{grid-template-columns:minmax(0,1fr)}
dl{grid-template-columns:1fr 1fr;gap:8px}
dd{font-size:18px}
thead{display:none}
table,tbody,tr,td{display:block}
tr{border-top:1px solid var(--line);padding:6px 0}
td,td.num{border:0;padding:1px 0 1px 92px;text-align:left;white-space:normal;min-height:20px}
td:before{content:attr(data-label);float:left;margin-left:-92px;width:86px;color:var(--muted)}
td:empty,.slim{display:none}
dl div:last-child{grid-column:1/-1}
}
`

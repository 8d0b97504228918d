"use strict";
for (const stack of document.querySelectorAll(".stack")) {
  const data = JSON.parse(stack.querySelector(".readings").textContent);
  const rows = stack.querySelector(".rows");
  const cross = stack.querySelector(".cross");
  const readout = stack.querySelector(".readout");
  const lane = stack.querySelector(".time .lane");
  const view = stack.querySelector(".time .view");
  const idle = readout.textContent;
  readout.hidden = false;

  const fixed = (value, factor, decimals) => (value / factor).toFixed(decimals).replace("-", "−");
  const signed = (value, factor, decimals) => (value > 0 ? "+" : "") + fixed(value, factor, decimals);
  const spanAt = (spans, day) => (spans.find(([first, last]) => first <= day && day <= last) || [])[2];
  const item = (label, value) => {
    const span = document.createElement("span");
    span.append(label + " ", Object.assign(document.createElement("b"), { textContent: value }));
    return span;
  };

  function show(day) {
    const box = lane.getBoundingClientRect();
    const x = box.left + ((day + 0.5) / data.days) * box.width - rows.getBoundingClientRect().left;
    cross.style.left = x + "px";
    cross.hidden = false;
    const date = new Date((data.first + day) * 864e5).toISOString().slice(0, 10);
    const items = [item("", date)];
    if (data.rain[day] != null) items.push(item("rain", fixed(data.rain[day], 10, 1) + " mm"));
    if (data.level[day] != null) items.push(item("reservoir", fixed(data.level[day], 10, 1) + " m"));
    for (const spans of data.said) {
      const said = spanAt(spans, day);
      if (said) items.push(item("", said));
    }
    for (const t of data.tracks) {
      const line = item(t.name, "");
      line.className = "track";
      if (t.mm[day] != null)
        line.append(item("", `${signed(t.mm[day], 10, 1)} ± ${fixed(1.645 * (t.mm_sd[day] || 0), 10, 1)} mm`));
      if (t.v[day] != null)
        line.append(item("", `${signed(t.v[day], 100, 2)} ± ${fixed(1.645 * (t.v_sd[day] || 0), 100, 2)} mm/d`));
      items.push(line);
    }
    readout.replaceChildren(...items);
  }
  function clear() {
    cross.hidden = true;
    readout.textContent = idle;
  }
  function at(event) {
    const seen = view.getBoundingClientRect();
    if (event.clientX < seen.left || event.clientX > seen.right) return clear();
    const box = lane.getBoundingClientRect();
    const day = Math.floor(((event.clientX - box.left) / box.width) * data.days);
    show(Math.min(Math.max(day, 0), data.days - 1));
  }
  rows.addEventListener("pointermove", at);
  rows.addEventListener("pointerdown", at);
  rows.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && clear());
}

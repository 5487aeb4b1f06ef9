// Starts the page's parts on its data, the address last, so that each hears what is chosen.
"use strict";
(function () {
  const data = Dpg.unpack(JSON.parse(document.getElementById("data").textContent));
  Dpg.data = data;
  Dpg.moved();
  Dpg.chooser(data);
  Dpg.boards(data);
  Dpg.board(data);
  Dpg.failures(data);
  Dpg.items(data);
  Dpg.matrix(data);
  Dpg.compare(data);
  Dpg.judges(data);
  Dpg.models(data);
  Dpg.sorting();
  Dpg.downloads(data);
  Dpg.views(data);
  Dpg.zoom(data);
  for (const link of document.querySelectorAll("nav a[data-sample]")) link.remove();
  Dpg.address.start();
})();

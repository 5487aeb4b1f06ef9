// Starts the page's parts on its data, the address last, so that each hears what is chosen.
"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  Dpg.data = data;
  Dpg.boards();
  Dpg.items(data);
  Dpg.compare(data);
  Dpg.downloads(data);
  Dpg.address.start();
  for (const link of document.querySelectorAll("nav a[data-script]")) {
    link.hidden = document.querySelector(link.hash).hidden;
  }
  const sample = document.querySelector("nav a[data-sample]");
  if (sample) sample.hidden = document.getElementById("gallery").hidden;
})();

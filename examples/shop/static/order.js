"use strict";
// Shows each change of the order, and stops at its outcome.

const main = document.querySelector("main");
const news = document.querySelector(".news");

function follow() {
  const source = new EventSource(main.dataset.events);

  source.addEventListener("order", (event) => {
    const order = JSON.parse(event.data);
    main.dataset.state = order.state;
    news.textContent = order.news;
    if (order.state !== "open") source.close();
  });

  source.addEventListener("error", () => {
    // The browser comes back by itself when the connection breaks, but gives up at an answer such as a proxy's 502.
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 2000 + 2000 * Math.random());
  });
}

if (main.dataset.state === "open") follow();

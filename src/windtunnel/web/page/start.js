/* Order of the page. */
fillMarks();
frame("pareto", paretoPlot);
frame("usd", costPlot("usd", (usd) => (usd >= 0.1 ? d3.format("$,.2f")(usd) : `$${figure(usd)}`), "price not known"));
frame("joules", costPlot("joules", (joules) => `${figure(joules)} J`, "power not known"));
startRoofline();
memoryLegend();
frame("memory", memoryPlot);
window.addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
document.body.dataset.ready = "yes";

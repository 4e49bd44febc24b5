// Counts the cycles in which enable is 1; clear wins. Register-transfer level: read through Yosys (the rtl extra).
module counter (
    input            clock,
    input            clear,
    input            enable,
    output reg [3:0] count
);
  initial count = 4'd0;

  always @(posedge clock)
    if (clear) count <= 4'd0;
    else if (enable) count <= count + 4'd1;
endmodule

*** Settings ***
Documentation       Checks that orders add up. Run it with a customer of your own: parameters are variables.
Library             Orders


*** Variables ***
${customer}         Acme


*** Tasks ***
Check the orders
    ${orders}    Get Orders    ${customer}
    FOR    ${order}    IN    @{orders}
        Check An Order    ${order}
    END

Say what was checked
    Log To Console    ${\n}Orders of ${customer} were checked.


*** Keywords ***
Check An Order
    [Arguments]    ${order}
    ${total}    Total Of    ${order}
    Should Be Equal    ${total}    ${order}[total]    The order ${order}[id] does not add up.
